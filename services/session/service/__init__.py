"""The use cases of session. Rejections are raised as RequestError.

Every use case except the creation of a group is safe to repeat. A repetition is rejected as already done or changes
nothing, and it finishes an interrupted join.
"""
