"""What LMAM is held against besides emotions in conversations: a room for each task, entered in `runs.record.TASKS`."""
