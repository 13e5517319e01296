"""The technician's side of the box: the control socket, the console on a serial line, and provisioning."""
