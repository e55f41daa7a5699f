"""A peer: FastAPI on uvicorn with asyncpg, as one writes it by hand. It passes on what is notified to
all clients, one after the other as FastAPI's documentation does; who comes later gets the last
message at once.

Arguments: socket directory, database, port. Prints "ready <backend pid>" when it serves.
"""

import asyncio
import sys

import asyncpg
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

host, database, port = sys.argv[1:]
app = FastAPI()
clients: set[WebSocket] = set()
notified: asyncio.Queue[str]
last = ""


async def send(client: WebSocket, message: str):
    try:
        await client.send_text(message)
    except Exception:  # it has gone: its own task sees that, too
        clients.discard(client)


async def broadcast(reader: asyncpg.Connection):
    global last
    while True:
        message = await notified.get()
        if message.isdigit():  # too long for a notification
            message = await reader.fetchval("SELECT body FROM fanout_message WHERE id = $1", int(message))
        last = message
        for client in list(clients):
            await send(client, message)


@app.on_event("startup")
async def start():
    global notified
    notified = asyncio.Queue()
    listener, reader = [await asyncpg.connect(host=host, database=database, user="postgres") for _ in range(2)]
    await listener.add_listener("fanout", lambda _connection, _pid, _channel, payload: notified.put_nowait(payload))
    app.state.listener = listener  # a connection that nobody holds is closed
    app.state.broadcast = asyncio.create_task(broadcast(reader))
    app.state.broadcast.add_done_callback(lambda task: task.result())
    print("ready", listener.get_server_pid(), flush=True)


@app.websocket("/")
async def subscribe(client: WebSocket):
    await client.accept()
    sent = ""
    while sent is not last:
        sent = last
        await client.send_text(sent)
    clients.add(client)
    try:
        while True:
            await client.receive_text()
    except WebSocketDisconnect:
        clients.discard(client)


uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(port),
    loop="uvloop",
    http="httptools",
    ws="websockets",
    ws_per_message_deflate=False,
    log_level="warning",
)
