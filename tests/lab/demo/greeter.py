"""The demo's gRPC: a server (`greeter.py`) and a client (`greeter.py ADDRESS METHOD…`), with Debian's grpcio.

Messages are UTF-8 text instead of protocol buffers, which gRPC leaves to its users; so there is no code to generate.
"""

import concurrent.futures
import os
import sys

import grpc

SERVICE, METHODS = "shop.Greeter", ("Hello", "Stream", "DeleteAll")


def encode(text):
    return text.encode()


def decode(data):
    return data.decode()


def answer(method):
    return f"{os.environ.get('POD_NAME')} ({os.environ.get('VERSION')}) answers {method}"


def serve():
    unary = {m: grpc.unary_unary_rpc_method_handler(lambda name, _, m=m: f"{answer(m)}, {name}", decode, encode)
             for m in METHODS if m != "Stream"}
    stream = {"Stream": grpc.unary_stream_rpc_method_handler(
        lambda name, _: (f"{answer('Stream')}, {name}, {n}" for n in range(3)), decode, encode)}
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, unary | stream)])
    server.add_insecure_port("[::]:50051")
    server.start()
    server.wait_for_termination()


def call(channel, method):
    """One line for each answer, or for the status that came instead."""
    try:
        if method == "Stream":
            for line in channel.unary_stream(f"/{SERVICE}/{method}", encode, decode)("demo", timeout=5):
                print(line)
        else:
            print(channel.unary_unary(f"/{SERVICE}/{method}", encode, decode)("demo", timeout=5))
    except grpc.RpcError as error:
        print(f"{method}: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    with grpc.insecure_channel(sys.argv[1]) as connection:
        for asked in sys.argv[2:]:
            call(connection, asked)
