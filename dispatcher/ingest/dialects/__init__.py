"""The five public APIs: one module each, on one frame (frame) and one desk (desk); mounted.py knows them all."""
