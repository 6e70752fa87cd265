"""A revision as data: functions from a Revision to the Deployment, the Service and the Jobs that run and check it."""
