<?php
// A shop in PHP that learns from Conciliar what became of its orders.
//
// PHP 8.1 or newer with PDO (here for SQLite), no packages. Paste the export lines that
// `conciliar dev --order-events-url http://127.0.0.1:8090/conciliar` prints, then
//
//     php -S 127.0.0.1:8090 docs/shops/shop.php
//
//     curl -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1001","amount":"150.00","currency":"ARS"}'
//     curl http://127.0.0.1:8090/orders/order-1001
//
// and once a minute, by cron, what a push could not bring:
//
//     php docs/shops/shop.php
//
// Settings: SERVICE and ORDERS_TOKEN (Conciliar), ORDER_EVENTS_SECRETS (whsec_…, several
// by commas during a rotation), SHOP_DATA (shop.db).

declare(strict_types=1);

const TOLERANCE = 5 * 60; // seconds that a message may be old

final class Refused extends Exception {}

function setting(string $name, ?string $default = null): string
{
    $value = getenv($name);
    return $value !== false && $value !== '' ? $value : $default ?? throw new RuntimeException("$name is not set");
}

function database(): PDO
{
    $db = new PDO('sqlite:' . setting('SHOP_DATA', 'shop.db'), options: [PDO::ATTR_TIMEOUT => 10]);
    // FULL: what was answered 2xx must outlive a power failure.
    $db->exec('PRAGMA synchronous = FULL');
    // Amounts are text: a float would lose cents.
    $db->exec("CREATE TABLE IF NOT EXISTS orders (
        reference TEXT PRIMARY KEY, amount TEXT NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'new',
        paid_amount TEXT, refunded_amount TEXT, flagged INTEGER NOT NULL DEFAULT 0, event_id INTEGER NOT NULL DEFAULT 0)");
    $db->exec('CREATE TABLE IF NOT EXISTS feed (cursor TEXT NOT NULL)');
    return $db;
}

function query(PDO $db, string $sql, array $values = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

/** Calls Conciliar and returns its answer. */
function conciliar(string $method, string $path, ?array $body = null): array
{
    $answer = file_get_contents(setting('SERVICE') . $path, false, stream_context_create(['http' => [
        'method' => $method, 'timeout' => 40, 'ignore_errors' => true, 'follow_location' => 0,
        'header' => ['Authorization: Bearer ' . setting('ORDERS_TOKEN'), 'Content-Type: application/json', 'Connection: close'],
        'content' => $body === null ? '' : json_encode($body, JSON_THROW_ON_ERROR),
    ]]));
    $status = $answer === false ? 0 : (int) explode(' ', $http_response_header[0])[1];
    if ($status < 200 || $status > 299) {
        throw new Refused("Conciliar answered $status", $status);
    }
    return json_decode($answer, true, flags: JSON_THROW_ON_ERROR);
}

function orderPath(string $reference): string
{
    return '/api/orders/' . rawurlencode($reference);
}

/**
 * Keeps an order and registers it; may be repeated. The amount is text as Conciliar
 * writes it, with the currency's own decimals: "150.00" in ARS, "15990" in CLP.
 */
function register(PDO $db, string $reference, string $amount, string $currency): void
{
    // Ours first: the event may be here before the answer is.
    query($db, 'INSERT INTO orders (reference, amount, currency) VALUES (?, ?, ?) ON CONFLICT DO NOTHING', [$reference, $amount, $currency]);
    conciliar('PUT', orderPath($reference), ['amount' => $amount, 'currency' => $currency]);
}

/** Verifies a message after the Standard Webhooks specification. */
function signed(string $id, string $timestamp, string $signatures, string $body): bool
{
    if ($id === '' || !ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    foreach (explode(',', setting('ORDER_EVENTS_SECRETS')) as $text) {
        $secret = base64_decode(preg_replace('/^whsec_/', '', trim($text)), true);
        if ($secret === false || $secret === '') {
            throw new RuntimeException('ORDER_EVENTS_SECRETS must be whsec_ and base64'); // an empty one is known to everybody
        }
        $wanted = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $secret, true));
        foreach (explode(' ', $signatures) as $given) {
            if (hash_equals($wanted, $given)) {
                return true;
            }
        }
    }
    return false;
}

/**
 * Makes our order what an event says; true when that is news. The ids of one order's
 * events ascend: an event that was seen before, or is older than what we know, changes
 * nothing.
 */
function apply(PDO $db, int $eventID, array $order, bool $readAgain = false): bool
{
    $changed = query($db, "UPDATE orders SET
            status = CASE WHEN amount = :amount AND currency = :currency THEN :status ELSE 'other_terms' END,
            paid_amount = :paid, refunded_amount = :refunded, flagged = :flagged, event_id = max(event_id, CAST(:id AS INTEGER))
        WHERE reference = :reference AND (event_id < CAST(:id AS INTEGER) OR :again = '1')", [
        'amount' => $order['amount'], 'currency' => $order['currency'], 'status' => $order['status'],
        'paid' => $order['paid_amount'], 'refunded' => $order['refunded_amount'], 'flagged' => $order['anomalies'] === [] ? 0 : 1,
        'id' => $eventID, 'reference' => $order['reference'], 'again' => $readAgain ? '1' : '0',
    ]);
    // Act here, in the same transaction: what is paid, not flagged and not shipped yet
    // becomes a row "to ship", which another program takes up.
    // An order that is not this shop's has no row.
    return $changed->rowCount() === 1;
}

/** Reads what the feed has after the cursor. */
function catchUp(PDO $db): void
{
    $cursor = (string) query($db, 'SELECT cursor FROM feed')->fetchColumn();
    do {
        try {
            $page = conciliar('GET', '/api/orders/changes?limit=100&after=' . rawurlencode($cursor));
        } catch (Refused $refused) {
            $page = $refused->getCode() === 410 ? startOver($db) : throw $refused;
        }
        $db->exec('BEGIN IMMEDIATE');
        foreach ($page['items'] as $event) {
            apply($db, $event['id'], $event['data']['order']);
        }
        // With the events, or they would be lost by a crash in between.
        $db->exec('DELETE FROM feed');
        query($db, 'INSERT INTO feed VALUES (?)', [$cursor = $page['next_cursor']]);
        $db->exec('COMMIT');
    } while ($page['items'] !== []);
}

/** Answers the end of the feed, and reads each order once after it is known. */
function startOver(PDO $db): array
{
    $end = conciliar('GET', '/api/orders/changes?after=latest');
    foreach (query($db, 'SELECT reference FROM orders')->fetchAll(PDO::FETCH_COLUMN) as $reference) {
        $db->exec('BEGIN IMMEDIATE'); // no event comes in between
        try {
            apply($db, 0, conciliar('GET', orderPath($reference)), readAgain: true);
        } catch (Refused $refused) {
            if ($refused->getCode() !== 404) { // it was kept here and never registered
                throw $refused;
            }
        } finally {
            $db->exec('COMMIT');
        }
    }
    return $end;
}

/** POST /conciliar is for Conciliar; /orders is for trying, and open to anybody. */
function answer(PDO $db, string $method, string $path): array
{
    $body = file_get_contents('php://input');
    if ("$method $path" === 'POST /conciliar') {
        $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
        // The signature is over the bytes: verify before reading them as JSON.
        if (!signed($id, $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '', $body)) {
            return [401, ['error' => 'signature']];
        }
        $changed = apply($db, (int) $id, json_decode($body, true, flags: JSON_THROW_ON_ERROR)['data']['order']);
        // Kept by now. Any other answer, or none, is tried again.
        return [200, ['changed' => $changed]];
    }
    $reference = rawurldecode(substr($path, strlen('/orders/')));
    if ("$method $path" === 'POST /orders') {
        $order = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
        $reference = $order['reference'];
        register($db, $reference, $order['amount'], $order['currency']);
    } elseif ($method !== 'GET' || !str_starts_with($path, '/orders/')) {
        return [404, ['error' => 'not found']];
    }
    $order = query($db, 'SELECT * FROM orders WHERE reference = ?', [$reference])->fetch(PDO::FETCH_ASSOC);
    return $order ? [200, ['flagged' => (bool) $order['flagged']] + $order] : [404, ['error' => 'no such order']];
}

if (PHP_SAPI === 'cli') {
    catchUp(database());
    exit(0);
}
// What goes wrong is logged by PHP, and answered 500.
ini_set('display_errors', '0');
http_response_code(500);
try {
    [$status, $answer] = answer(database(), $_SERVER['REQUEST_METHOD'], parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
} catch (Refused $refused) {
    [$status, $answer] = [502, ['error' => $refused->getMessage()]];
} catch (JsonException | TypeError $wrong) {
    error_log((string) $wrong);
    [$status, $answer] = [400, ['error' => 'not understood']];
}
http_response_code($status);
header('Content-Type: application/json');
echo json_encode($answer, JSON_THROW_ON_ERROR);
