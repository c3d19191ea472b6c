"""The use cases of session. Refusals are raised as Refused.

Each is safe to repeat, save the making of a group. What is asked again after it has happened is refused as done
before, or does nothing; a join that was interrupted is then completed.
"""
