"""Runs in the virtual environment of the official client of the Model Context Protocol, which it uses as it is.

Connects to the server at ``sys.argv[1]`` with the key in the environment variable ``AGENT_KEY``, in the mode
``sys.argv[2]`` (``auto``, ``legacy`` or a version). Then every line of standard input is a call, a tool's name and its
arguments as JSON, and its line of standard output is what came of it; the first line is the server's description.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, mode: str) -> None:
    headers = {"X-API-Key": os.environ["AGENT_KEY"]}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = await client.list_tools()
        say(version=client.protocol_version, tools={tool.name: tool.input_schema for tool in tools.tools})
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments = json.loads(line)
            try:
                result = await client.call_tool(name, arguments)
            except MCPError as error:
                say(error=error.error.code, message=error.error.message, data=error.error.data)
            else:
                say(content=result.structured_content, text=[part.text for part in result.content])


def say(**said: object) -> None:
    print(json.dumps(said), flush=True)


asyncio.run(main(*sys.argv[1:]))
