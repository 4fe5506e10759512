"""What LMAM is compared on besides emotions in conversations: a folder per task, entered in `runs.record.TASKS`."""
