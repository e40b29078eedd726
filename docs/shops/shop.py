#!/usr/bin/env python3
"""A shop in Python that learns from Conciliar what became of its orders.

Python 3.9 or newer, standard library only. Paste the export lines that
`conciliar dev --order-events-url http://127.0.0.1:8090/conciliar` prints, then

    python3 docs/shops/shop.py

    curl -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1001","amount":"150.00","currency":"ARS"}'
    curl http://127.0.0.1:8090/orders/order-1001

Settings: SERVICE and ORDERS_TOKEN (Conciliar), ORDER_EVENTS_SECRETS (whsec_…, several
by commas during a rotation), SHOP_ADDR (127.0.0.1:8090), SHOP_DATA (shop.db).
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SERVICE = os.environ["SERVICE"]
TOKEN = os.environ["ORDERS_TOKEN"]
SECRETS = [base64.b64decode(s.strip().removeprefix("whsec_"), validate=True) for s in os.environ["ORDER_EVENTS_SECRETS"].split(",")]
if not all(SECRETS):
    raise SystemExit("ORDER_EVENTS_SECRETS has an empty secret, which everybody knows")
TOLERANCE = 5 * 60  # seconds that a message may be old
MAX_BODY = 1 << 20


def database():
    """Opens the shop's database. Each thread opens its own."""
    # FULL: what was answered 2xx must outlive a power failure.
    db = sqlite3.connect(os.environ.get("SHOP_DATA", "shop.db"), timeout=10, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.executescript(
        """PRAGMA synchronous = FULL;
        -- Amounts are text: a float would lose cents.
        CREATE TABLE IF NOT EXISTS orders (
            reference TEXT PRIMARY KEY, amount TEXT NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'new',
            paid_amount TEXT, refunded_amount TEXT, flagged INTEGER NOT NULL DEFAULT 0, event_id INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE IF NOT EXISTS feed (cursor TEXT NOT NULL);"""
    )
    return db


def conciliar(method, path, body=None):
    """Calls Conciliar and returns its answer; urllib.error.HTTPError when it refuses."""
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(SERVICE + path, json.dumps(body).encode() if body else None, headers, method=method)
    with urllib.request.urlopen(request, timeout=40) as answer:
        return json.load(answer)


def order_path(reference):
    return "/api/orders/" + urllib.parse.quote(reference, safe="")


def register(db, reference, amount, currency):
    """Keeps an order and registers it; may be repeated.

    The amount is text as Conciliar writes it, with the currency's own decimals:
    "150.00" in ARS, "15990" in CLP.
    """
    # Ours first: the event may be here before the answer is.
    db.execute("INSERT INTO orders (reference, amount, currency) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (reference, amount, currency))
    conciliar("PUT", order_path(reference), {"amount": amount, "currency": currency})


def signed(headers, body, now):
    """Verifies a message after the Standard Webhooks specification."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    # ASCII digits alone: int() reads more than that.
    if not message_id or not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > TOLERANCE:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [s.removeprefix("v1,") for s in headers.get("webhook-signature", "").split() if s.startswith("v1,")]
    wanted = [base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in SECRETS]
    return any(hmac.compare_digest(s.encode(), w.encode()) for s in signatures for w in wanted)


def apply(db, event_id, order, read_again=False):
    """Makes our order what an event says; True when that is news.

    The ids of one order's events ascend: an event that was seen before, or is older
    than what we know, changes nothing.
    """
    changed = db.execute(
        """UPDATE orders SET status = CASE WHEN amount = ? AND currency = ? THEN ? ELSE 'other_terms' END,
            paid_amount = ?, refunded_amount = ?, flagged = ?, event_id = max(event_id, ?)
        WHERE reference = ? AND (event_id < ? OR ?)""",
        (order["amount"], order["currency"], order["status"], order["paid_amount"], order["refunded_amount"],
         len(order["anomalies"]) > 0, event_id, order["reference"], event_id, read_again),
    )
    # Act here, in the same transaction: what is paid, not flagged and not shipped yet
    # becomes a row "to ship", which another program takes up.
    # An order that is not this shop's has no row.
    return changed.rowcount == 1


def catch_up(db):
    """Reads what the feed has after the cursor: what a push could not bring."""
    row = db.execute("SELECT cursor FROM feed").fetchone()
    cursor = row["cursor"] if row else ""
    while True:
        try:
            page = conciliar("GET", "/api/orders/changes?limit=100&after=" + urllib.parse.quote(cursor, safe=""))
        except urllib.error.HTTPError as refused:
            if refused.code != 410:
                raise
            page = start_over(db)
        db.execute("BEGIN IMMEDIATE")
        for event in page["items"]:
            apply(db, event["id"], event["data"]["order"])
        # With the events, or they would be lost by a crash in between.
        db.execute("DELETE FROM feed")
        db.execute("INSERT INTO feed VALUES (?)", (page["next_cursor"],))
        db.execute("COMMIT")
        cursor = page["next_cursor"]
        if not page["items"]:
            return


def start_over(db):
    """Answers the end of the feed, and reads each order once after it is known."""
    end = conciliar("GET", "/api/orders/changes?after=latest")
    for row in db.execute("SELECT reference FROM orders").fetchall():
        db.execute("BEGIN IMMEDIATE")  # no event comes in between
        try:
            apply(db, 0, conciliar("GET", order_path(row["reference"])), read_again=True)
        except urllib.error.HTTPError as refused:
            if refused.code != 404:  # it was kept here and never registered
                raise
        finally:
            db.execute("COMMIT")
    return end


class Shop(http.server.BaseHTTPRequestHandler):
    """POST /conciliar is for Conciliar; /orders is for trying, and open to anybody."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= MAX_BODY:
            return self.answer(413, {"error": "too large"})
        body, db = self.rfile.read(length), database()
        try:
            if self.path == "/orders":
                order = json.loads(body)
                register(db, order["reference"], order["amount"], order["currency"])
                return self.show(db, order["reference"])
            if self.path == "/conciliar":
                # The signature is over the bytes: verify before reading them as JSON.
                if not signed(self.headers, body, time.time()):
                    return self.answer(401, {"error": "signature"})
                changed = apply(db, int(self.headers["webhook-id"]), json.loads(body)["data"]["order"])
                # Kept by now. Any other answer, or none, is tried again.
                return self.answer(200, {"changed": changed})
            self.answer(404, {"error": "not found"})
        except urllib.error.HTTPError as refused:
            self.answer(502, {"error": f"Conciliar answered {refused.code}"})
        except (KeyError, TypeError, ValueError) as wrong:
            self.answer(400, {"error": f"not understood: {wrong}"})
        finally:
            db.close()

    def do_GET(self):
        db = database()
        try:
            self.show(db, urllib.parse.unquote(self.path.removeprefix("/orders/")))
        finally:
            db.close()

    def show(self, db, reference):
        row = db.execute("SELECT * FROM orders WHERE reference = ?", (reference,)).fetchone()
        if row is None:
            return self.answer(404, {"error": "no such order"})
        self.answer(200, dict(row) | {"flagged": bool(row["flagged"])})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def keep_up():
    while True:
        db = database()
        try:
            catch_up(db)
        except Exception as problem:  # the next turn tries again
            print("catching up:", problem, flush=True)
        finally:
            db.close()
        time.sleep(60)


if __name__ == "__main__":
    host, port = os.environ.get("SHOP_ADDR", "127.0.0.1:8090").rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Shop)
    threading.Thread(target=keep_up, daemon=True).start()
    print(f"shop listens on http://{host}:{server.server_port}", flush=True)
    server.serve_forever()
