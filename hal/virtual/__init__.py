"""The virtual box: a page on loopback with display, keypad, lamp, voice and a camera whose picture is chosen.

A picture that is put in front of the virtual camera is no live person. What passes here shows that the parts work
together; it says nothing about how well a real camera, real light or real liveness do.
"""
