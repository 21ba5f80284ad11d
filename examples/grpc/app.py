"""Orders, protected. OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com python app.py [--aio]

Messages are JSON, so that nothing has to be generated; with generated code only the last line of each server differs.
"""

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio

import py_identity_model as blocking
import py_identity_model.aio as awaiting
from py_identity_model import Requirement
from py_identity_model.integrations.grpc import (
    HEALTH,
    AsyncResourceServerInterceptor,
    ResourceServerInterceptor,
    current_principal,
)

ADDRESS = os.environ.get("ADDRESS", "127.0.0.1:50051")
DEMANDS = {
    "scopes": ["orders.read"],
    "methods": {"/shop.Orders/Create": Requirement(scopes=["orders.write"])},
    "exclude": [HEALTH],
}


def said(request, context):
    return {"subject": current_principal.get().subject}


def follow(request, context):
    for number in range(3):
        yield {"subject": current_principal.get().subject, "number": number}


async def aio_said(request, context):
    return said(request, context)


async def aio_follow(request, context):
    for answer in follow(request, context):
        yield answer


def handlers(said, follow):
    how = {"request_deserializer": json.loads, "response_serializer": lambda answer: json.dumps(answer).encode()}
    methods = {
        "List": grpc.unary_unary_rpc_method_handler(said, **how),
        "Create": grpc.unary_unary_rpc_method_handler(said, **how),
        "Follow": grpc.unary_stream_rpc_method_handler(follow, **how),
    }
    open_to_all = {"Check": grpc.unary_unary_rpc_method_handler(lambda request, context: {"status": "SERVING"}, **how)}
    return (
        grpc.method_handlers_generic_handler("shop.Orders", methods),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", open_to_all),
    )


def serve():
    interceptor = ResourceServerInterceptor(blocking.ResourceServer.from_env(), **DEMANDS)
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[interceptor])
    server.add_generic_rpc_handlers(handlers(said, follow))
    server.add_insecure_port(ADDRESS)  # behind a proxy that ends TLS; else add_secure_port
    server.start()
    server.wait_for_termination()


async def serve_aio():
    interceptor = AsyncResourceServerInterceptor(awaiting.ResourceServer.from_env(), **DEMANDS)
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers(handlers(aio_said, aio_follow))
    server.add_insecure_port(ADDRESS)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve_aio()) if "--aio" in sys.argv else serve()
