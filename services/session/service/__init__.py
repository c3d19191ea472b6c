"""The use cases of the session service. Rejections are raised as RequestError.

Every use case except the creation of a group is safe to repeat. A repetition is rejected because it is already done, or
it changes nothing. A repetition also finishes an interrupted join.
"""
