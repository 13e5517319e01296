"""A box that keeps nobody: it proves liveness, seals what it saw to the gateway's matcher, and is told who it is."""
