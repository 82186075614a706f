"""The server round MONAI Label's application: who may do what, what comes in, what is logged, how it ends."""
