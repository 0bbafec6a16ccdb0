"""The HTTP side: who may come in (keys, door), the native API (native, batch, reads), and the ASGI application (app)."""
