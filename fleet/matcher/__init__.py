"""The gateway's matcher for open-loop boxes: a part of its own, with its own key, its own file and its own thread."""
