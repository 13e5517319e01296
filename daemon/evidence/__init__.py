"""What a payment leaves behind for a dispute: the box's signed word on what was decided, and on how it ended."""
