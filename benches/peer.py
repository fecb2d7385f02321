"""A worker of a well-known job system that does the same effects by the same statements, one message a transaction.

Takes the URLs of PostgreSQL and RabbitMQ and how many contacts to delete, from the first on; prints the seconds it took.
Needs the packages dramatiq[rabbitmq] and psycopg[binary].
"""

import os
import pathlib
import sys
import time

# Read when the package is imported.
os.environ["dramatiq_queue_prefetch"] = "1"

import dramatiq
import psycopg
from dramatiq.brokers.rabbitmq import RabbitmqBroker

postgres, rabbitmq, contacts = sys.argv[1], sys.argv[2], int(sys.argv[3])
effects = (pathlib.Path(__file__).parent / "effects.sql").read_text().split(";\n")
effects = [statement.strip() for statement in effects]
store = psycopg.connect(postgres, cursor_factory=psycopg.RawCursor, prepare_threshold=1)
broker = RabbitmqBroker(url=rabbitmq)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="contact-reaper-bench-peer")
def delete(account, contact, enrollment):
    with store.transaction(), store.cursor() as cursor:
        for statement in effects:
            cursor.execute(statement, ([account], [contact], [enrollment]))


for contact in range(1, contacts + 1):
    delete.send(1, contact, contact)
worker = dramatiq.Worker(broker, worker_threads=1)
started = time.monotonic()
worker.start()
broker.join(delete.queue_name)
worker.join()
seconds = time.monotonic() - started
done = store.execute("SELECT count(*) FROM contacts WHERE deleted_at IS NOT NULL").fetchone()[0]
worker.stop()
assert done == contacts, f"{done} of {contacts} were deleted"
print(seconds)
