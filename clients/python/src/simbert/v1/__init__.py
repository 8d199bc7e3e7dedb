"""The messages and stubs of `proto/simbert/v1`, as protoc writes them.

They are checked in, not made when the package is built: so the package is pure Python that installs without a compiler
of protocol buffers, from an archive without `proto/` too; the versions of grpcio and protobuf that it needs do not
depend on the day it was built; and type checkers and editors see them. `make stubs-python` writes them again, and a
test says when they no longer agree with `proto/`.
"""
