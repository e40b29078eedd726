// A shop in Node that learns from Conciliar what became of its orders.
//
// Node 18 or newer, no packages. Paste the export lines that
// `conciliar dev --order-events-url http://127.0.0.1:8090/conciliar` prints, then
//
//     node docs/shops/shop.mjs
//
//     curl -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1001","amount":"150.00","currency":"ARS"}'
//     curl http://127.0.0.1:8090/orders/order-1001
//
// Settings: SERVICE and ORDERS_TOKEN (Conciliar), ORDER_EVENTS_SECRETS (whsec_…, several
// by commas during a rotation), SHOP_ADDR (127.0.0.1:8090), SHOP_DATA (shop.json).
// One process only: where several share a database, do as shop.py does.

import { createHmac, timingSafeEqual } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'

const { SERVICE, ORDERS_TOKEN, ORDER_EVENTS_SECRETS, SHOP_ADDR = '127.0.0.1:8090', SHOP_DATA = 'shop.json' } = process.env
const secrets = ORDER_EVENTS_SECRETS.split(',').map(s => Buffer.from(s.trim().replace(/^whsec_/, ''), 'base64'))
if (!secrets.every(secret => secret.length > 0)) throw new Error('ORDER_EVENTS_SECRETS has an empty secret, which everybody knows')
const tolerance = 5 * 60 // seconds that a message may be old
const maxBody = 1 << 20

// The shop's database: orders by reference, and the feed's cursor. Amounts are text,
// since a number would lose cents.
const data = fs.existsSync(SHOP_DATA) ? JSON.parse(fs.readFileSync(SHOP_DATA, 'utf8')) : { orders: {}, cursor: '' }
data.orders = Object.assign(Object.create(null), data.orders) // a reference may be called "constructor"

// save returns once the data is on the disk, all of it or nothing.
function save() {
  const file = fs.openSync(SHOP_DATA + '.new', 'w', 0o600)
  fs.writeFileSync(file, JSON.stringify(data))
  fs.fsyncSync(file)
  fs.closeSync(file)
  fs.renameSync(SHOP_DATA + '.new', SHOP_DATA)
  const directory = fs.openSync(SHOP_DATA.replace(/[^/]*$/, '') || '.', 'r')
  fs.fsyncSync(directory)
  fs.closeSync(directory)
}

class Refused extends Error {
  constructor(status) {
    super(`Conciliar answered ${status}`)
    this.status = status
  }
}

async function conciliar(method, path, body) {
  const answer = await fetch(SERVICE + path, {
    method, headers: { authorization: `Bearer ${ORDERS_TOKEN}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body), signal: AbortSignal.timeout(40_000),
  })
  if (!answer.ok) throw new Refused(answer.status)
  return answer.json()
}

const orderPath = reference => '/api/orders/' + encodeURIComponent(reference)

// register keeps an order and registers it; may be repeated. The amount is text as
// Conciliar writes it, with the currency's own decimals: "150.00" in ARS, "15990" in CLP.
async function register({ reference, amount, currency }) {
  if (![reference, amount, currency].every(v => typeof v === 'string')) throw new SyntaxError('reference, amount and currency are strings')
  // Ours first: the event may be here before the answer is.
  data.orders[reference] ??= { reference, amount, currency, status: 'new', paid_amount: null, refunded_amount: null, flagged: false, event_id: 0 }
  save()
  await conciliar('PUT', orderPath(reference), { amount, currency })
}

// signed verifies a message after the Standard Webhooks specification.
function signed(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = headers
  if (!id || !/^[0-9]+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) return false
  const wanted = secrets.map(secret => createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest())
  return signatures.split(' ').filter(s => s.startsWith('v1,')).some(s => {
    const given = Buffer.from(s.slice(3), 'base64')
    return wanted.some(w => w.length === given.length && timingSafeEqual(w, given))
  })
}

// apply makes our order what an event says; true when that is news. The ids of one
// order's events ascend: an event that was seen before, or is older than what we know,
// changes nothing.
function apply(eventID, order, readAgain = false) {
  const ours = data.orders[order.reference]
  if (!ours) return false // not this shop's
  if (!readAgain && eventID <= ours.event_id) return false
  ours.status = order.amount === ours.amount && order.currency === ours.currency ? order.status : 'other_terms'
  ours.paid_amount = order.paid_amount
  ours.refunded_amount = order.refunded_amount
  ours.flagged = order.anomalies.length > 0
  ours.event_id = Math.max(ours.event_id, eventID)
  // Act here, in the same transaction: what is paid, not flagged and not shipped yet
  // becomes a row "to ship", which another program takes up.
  return true
}

// catchUp reads what the feed has after the cursor: what a push could not bring.
async function catchUp() {
  for (;;) {
    const page = await conciliar('GET', '/api/orders/changes?limit=100&after=' + encodeURIComponent(data.cursor))
      .catch(refused => (refused.status === 410 ? startOver() : Promise.reject(refused)))
    for (const event of page.items) apply(event.id, event.data.order)
    data.cursor = page.next_cursor
    save() // events and cursor together
    if (page.items.length === 0) return
  }
}

// startOver answers the end of the feed, and reads each order once after it is known.
async function startOver() {
  const end = await conciliar('GET', '/api/orders/changes?after=latest')
  for (const ours of Object.values(data.orders)) {
    for (let before = -1; before !== ours.event_id;) { // once more when an event came in between
      before = ours.event_id
      const order = await conciliar('GET', orderPath(ours.reference))
        .catch(refused => (refused.status === 404 ? null : Promise.reject(refused))) // never registered
      if (order && before === ours.event_id) apply(0, order, true)
    }
  }
  return end
}

async function bodyOf(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    if ((size += chunk.length) > maxBody) throw new SyntaxError('too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// POST /conciliar is for Conciliar; /orders is for trying, and open to anybody.
async function answer(request) {
  const reference = request.url.startsWith('/orders/') ? decodeURIComponent(request.url.slice('/orders/'.length)) : null
  if (request.method === 'GET' && data.orders[reference]) return [200, data.orders[reference]]
  if (request.method === 'POST' && request.url === '/orders') {
    const order = JSON.parse(await bodyOf(request))
    await register(order)
    return [200, data.orders[order.reference]]
  }
  if (request.method === 'POST' && request.url === '/conciliar') {
    const body = await bodyOf(request)
    // The signature is over the bytes: verify before reading them as JSON.
    if (!signed(request.headers, body)) return [401, { error: 'signature' }]
    const eventID = Number(request.headers['webhook-id'])
    if (!Number.isSafeInteger(eventID)) throw new SyntaxError('webhook-id')
    const changed = apply(eventID, JSON.parse(body).data.order)
    save() // also of a repeat: what came before may not have been saved
    // Any other answer, or none, is tried again.
    return [200, { changed }]
  }
  return [404, { error: 'not found' }]
}

const server = http.createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(problem => {
    if (problem instanceof Refused) return [502, { error: problem.message }]
    if (problem instanceof SyntaxError || problem instanceof TypeError || problem instanceof URIError) return [400, { error: problem.message }]
    console.error(problem)
    return [500, { error: 'internal' }]
  })
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
})

async function keepUp() {
  await catchUp().catch(problem => console.error('catching up:', problem.message)) // the next turn tries again
  setTimeout(keepUp, 60_000)
}

const [, host, port] = SHOP_ADDR.match(/^(.*):(\d+)$/)
server.listen(Number(port), host, () => {
  console.log(`shop listens on http://${host}:${server.address().port}`)
  keepUp()
})
