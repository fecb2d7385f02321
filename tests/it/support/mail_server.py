"""A mail server for tests: says its port, then every mail it has taken, one JSON object a line.

What it does is told by the recipient's name: "nobody" has no mailbox, "later" is asked to come back twice, and with
"slow" it is long in saying that it has taken the mail. With arguments it lets in only this USER with this PASSWORD.
"""

import asyncio
import json
import sys
from collections import Counter

from aiosmtpd.smtp import SMTP, AuthResult

asked = Counter()


def tell(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        asked[address] += 1
        if name == "nobody":
            return f"550 5.1.1 <{address}> has no mailbox here"
        if name == "later" and asked[address] <= 2:
            return f"451 4.7.1 <{address}> is greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.content.decode("utf-8", "replace")
        tell({"from": envelope.mail_from, "to": envelope.rcpt_tos, "raw": raw})
        if any(address.startswith("slow@") for address in envelope.rcpt_tos):
            await asyncio.sleep(3600)
        return "250 OK"


def lets_in(server, session, envelope, mechanism, given):
    right = [given.login.decode(), given.password.decode()] == sys.argv[1:]
    return AuthResult(success=right, handled=False)


def connection():
    if len(sys.argv) == 1:
        return SMTP(Handler(), hostname="mx.example")
    return SMTP(Handler(), hostname="mx.example", authenticator=lets_in, auth_required=True, auth_require_tls=False)


async def main():
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    tell({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
