"""The use cases of session. Rejections are raised as RequestError.

Each is safe to repeat, except the creation of a group: a repetition is rejected as already done or changes nothing, and
it finishes a join that was interrupted.
"""
