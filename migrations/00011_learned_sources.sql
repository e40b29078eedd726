-- Where signed webhooks come from.
-- +goose Up

-- The networks that validly signed calls came from: /24 of IPv4, /48 of IPv6.
-- A merchant who wants to refuse all other addresses can choose among them.
-- The store keeps the number of rows bounded.
CREATE TABLE webhook_learned_sources (
    source        text        NOT NULL,
    network       cidr        NOT NULL,
    deliveries    bigint      NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, network),
    CONSTRAINT webhook_learned_sources_deliveries_positive CHECK (deliveries > 0),
    CONSTRAINT webhook_learned_sources_seen_in_order CHECK (first_seen_at <= last_seen_at)
);
-- What was not seen for longest makes room.
CREATE INDEX webhook_learned_sources_seen_idx ON webhook_learned_sources (last_seen_at);
