"""Webhooks: the events of messages on their way to the callbacks that customers named."""
