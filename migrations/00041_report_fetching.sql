-- Money reports that are asked for and downloaded: what each account is asked, what it
-- lists, and what became of it. The releases before write none of it.
-- +goose Up

-- An account whose reports are read. looked_at is when its list was read last;
-- failing_since is since when it can't be, with the error.
CREATE TABLE report_accounts (
    source        text        NOT NULL,
    collector_id  text        NOT NULL,
    mode          text        NOT NULL,
    looked_at     timestamptz,
    failing_since timestamptz,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, collector_id),
    CONSTRAINT report_accounts_mode_known CHECK (mode IN ('read', 'request')),
    CONSTRAINT report_accounts_failing_whole CHECK ((failing_since IS NULL) = (error IS NULL))
);

-- A report that is asked for, once for each day on which it is. claimed_at is when a
-- process set about it: two never ask at once. asked_at is when the provider took it.
CREATE TABLE report_requests (
    source       text        NOT NULL,
    collector_id text        NOT NULL,
    begin_at     timestamptz NOT NULL,
    end_at       timestamptz NOT NULL,
    asked_on     date        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    claimed_at   timestamptz,
    asked_at     timestamptz,
    PRIMARY KEY (source, collector_id, begin_at, asked_on),
    CONSTRAINT report_requests_period_forward CHECK (begin_at < end_at)
);
CREATE INDEX report_requests_unasked_idx ON report_requests (source, collector_id, begin_at) WHERE asked_at IS NULL;

-- A report that the account lists as ready. file_id is what it was booked as; error is
-- why it is not.
CREATE TABLE report_downloads (
    source       text        NOT NULL,
    collector_id text        NOT NULL,
    name         text        NOT NULL,
    begin_at     timestamptz,
    end_at       timestamptz,
    listed_at    timestamptz NOT NULL DEFAULT now(),
    tries        integer     NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL DEFAULT now(),
    error        text,
    file_id      bigint      REFERENCES report_files (id),
    PRIMARY KEY (source, collector_id, name),
    CONSTRAINT report_downloads_name_present CHECK (name <> ''),
    CONSTRAINT report_downloads_tries_not_negative CHECK (tries >= 0)
);
CREATE INDEX report_downloads_open_idx ON report_downloads (source, collector_id, next_try_at) WHERE file_id IS NULL;
