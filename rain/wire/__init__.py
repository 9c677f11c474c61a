"""The only package that touches zmq: encrypted endpoints, access files, batches of frames in and out."""
