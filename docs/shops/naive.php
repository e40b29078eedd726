<?php
// What not to do: a handler that works each webhook while Mercado Pago waits, as many
// shops have one. docs/adopting.md leads from it to Conciliar, and a test plays that.
//
//     php -S 127.0.0.1:8090 docs/shops/naive.php
//
//     curl -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1001","amount":"150.00","currency":"ARS"}'
//     curl http://127.0.0.1:8090/orders.csv
//
// What goes wrong is marked WRONG. Settings: MERCADOPAGO_BASE_URL,
// MERCADOPAGO_ACCESS_TOKEN, SHOP_DATA (naive.db).

declare(strict_types=1);

function setting(string $name, ?string $default = null): string
{
    $value = getenv($name);
    return $value !== false && $value !== '' ? $value : $default ?? throw new RuntimeException("$name is not set");
}

function database(): PDO
{
    $db = new PDO('sqlite:' . setting('SHOP_DATA', 'naive.db'), options: [PDO::ATTR_TIMEOUT => 10]);
    // WRONG: floats.
    $db->exec("CREATE TABLE IF NOT EXISTS orders (reference TEXT PRIMARY KEY, amount TEXT NOT NULL, currency TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'new', paid_amount REAL NOT NULL DEFAULT 0)");
    return $db;
}

function query(PDO $db, string $sql, array $values = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

function handle(PDO $db, array $webhook): void
{
    // WRONG: nobody looked at x-signature, so anybody may call this.
    // WRONG: Mercado Pago waits meanwhile, and what it can't read now is never read.
    $answer = @file_get_contents(setting('MERCADOPAGO_BASE_URL', 'https://api.mercadopago.com') . '/v1/payments/' . rawurlencode((string) $webhook['data']['id']), false, stream_context_create(['http' => [
        'timeout' => 5, 'header' => ['Authorization: Bearer ' . setting('MERCADOPAGO_ACCESS_TOKEN'), 'Connection: close'],
    ]]));
    if ($answer === false) {
        error_log('payment ' . $webhook['data']['id'] . ' could not be read');
        return;
    }
    $payment = json_decode($answer, true, flags: JSON_THROW_ON_ERROR);
    $reference = $payment['external_reference'];
    if ($webhook['action'] === 'payment.created' && $payment['status'] !== 'approved') {
        // WRONG: a webhook that comes late takes an order back to where it began.
        query($db, "UPDATE orders SET status = 'new' WHERE reference = ?", [$reference]);
    } elseif ($payment['status'] === 'approved') {
        // WRONG: a webhook that comes twice pays twice, and any amount pays the order.
        query($db, "UPDATE orders SET status = 'paid', paid_amount = paid_amount + ? WHERE reference = ?", [$payment['transaction_amount'], $reference]);
    } elseif ($payment['status'] === 'refunded') {
        query($db, "UPDATE orders SET status = 'refunded' WHERE reference = ?", [$reference]);
    }
    // WRONG: what is charged back or disputed stays paid.
}

$db = database();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$body = json_decode(file_get_contents('php://input') ?: 'null', true);
if ($path === '/webhooks/mercadopago') {
    handle($db, $body);
    echo 'ok'; // WRONG: also where it failed, so that Mercado Pago doesn't send it again.
} elseif ($path === '/orders') {
    query($db, 'INSERT INTO orders (reference, amount, currency) VALUES (?, ?, ?) ON CONFLICT DO NOTHING', [$body['reference'], $body['amount'], $body['currency']]);
    echo 'ok';
} elseif ($path === '/orders.csv') {
    echo "reference,status,amount,currency,paid_amount\n";
    foreach ($db->query('SELECT * FROM orders ORDER BY reference') as $order) {
        printf("%s,%s,%s,%s,%.2f\n", $order['reference'], $order['status'], $order['amount'], $order['currency'], $order['paid_amount']);
    }
} else {
    http_response_code(404);
}
