-- The index. Sections are run in order, each in a transaction that also sets user_version; a section that was released
-- is never edited, the next one changes what it made. Digests are the raw bytes (32: SHA-256, 64: SHA-512, empty: none).
-- version 1
CREATE TABLE blob (
    digest BLOB PRIMARY KEY, size INTEGER NOT NULL, origin INTEGER NOT NULL,
    added INTEGER NOT NULL, last_day INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE total (id INTEGER PRIMARY KEY CHECK (id = 1), bytes INTEGER NOT NULL, blobs INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (1, 0, 0);
CREATE TRIGGER blob_added AFTER INSERT ON blob BEGIN
    UPDATE total SET bytes = bytes + new.size, blobs = blobs + 1;
END;
CREATE TRIGGER blob_removed AFTER DELETE ON blob BEGIN
    UPDATE total SET bytes = bytes - old.size, blobs = blobs - 1;
END;

CREATE TABLE manifest (
    digest BLOB PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT NOT NULL, artifact_type TEXT NOT NULL,
    subject BLOB NOT NULL, config BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE edge (
    parent BLOB NOT NULL, child BLOB NOT NULL, kind INTEGER NOT NULL, PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);

CREATE TABLE repo (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, local INTEGER NOT NULL) STRICT;
CREATE TABLE link (
    repo INTEGER NOT NULL REFERENCES repo (id), digest BLOB NOT NULL, kind INTEGER NOT NULL, how INTEGER NOT NULL,
    media_type TEXT NOT NULL, added INTEGER NOT NULL, PRIMARY KEY (repo, digest, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_digest ON link (digest);

CREATE TABLE tag (
    repo INTEGER NOT NULL REFERENCES repo (id), tag TEXT NOT NULL, digest BLOB NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, checked INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (repo, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_digest ON tag (digest) WHERE length(digest) > 0;
CREATE TABLE served (
    id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES repo (id), tag TEXT NOT NULL, policy BLOB NOT NULL,
    platforms TEXT NOT NULL, source BLOB NOT NULL, served BLOB NOT NULL, media_type TEXT NOT NULL,
    since INTEGER NOT NULL, until INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX served_current ON served (repo, tag, policy, platforms) WHERE until = 0;
CREATE INDEX served_tag ON served (repo, tag, id);
CREATE INDEX served_digest ON served (served);

CREATE TABLE derivation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source BLOB NOT NULL, platform TEXT NOT NULL, policy BLOB NOT NULL,
    engine TEXT NOT NULL, patch BLOB NOT NULL, state INTEGER NOT NULL, hardened BLOB NOT NULL,
    media_type TEXT NOT NULL, size INTEGER NOT NULL, report BLOB NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, policy_name TEXT NOT NULL, reference TEXT NOT NULL, attempts INTEGER NOT NULL,
    deaths INTEGER NOT NULL, retry_at INTEGER NOT NULL, created INTEGER NOT NULL, made INTEGER NOT NULL,
    last_served INTEGER NOT NULL, UNIQUE (source, platform, policy, engine, patch)
) STRICT;
CREATE INDEX derivation_hardened ON derivation (hardened) WHERE length(hardened) > 0;
CREATE INDEX derivation_state ON derivation (state, id);
CREATE TABLE facts (
    layer BLOB NOT NULL, version TEXT NOT NULL, facts BLOB NOT NULL, facts_size INTEGER NOT NULL,
    diff_id BLOB NOT NULL, size INTEGER NOT NULL, uncompressed INTEGER NOT NULL, PRIMARY KEY (layer, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_blob ON facts (facts);
CREATE TABLE rewrite (
    layer BLOB NOT NULL, edits BLOB NOT NULL, codec TEXT NOT NULL, hardened BLOB NOT NULL, diff_id BLOB NOT NULL,
    size INTEGER NOT NULL, uncompressed INTEGER NOT NULL, media_type TEXT NOT NULL,
    PRIMARY KEY (layer, edits, codec)
) STRICT, WITHOUT ROWID;
CREATE INDEX rewrite_hardened ON rewrite (hardened);

CREATE TABLE referrer (
    repo INTEGER NOT NULL REFERENCES repo (id), subject BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL,
    media_type TEXT NOT NULL, artifact_type TEXT NOT NULL, annotations TEXT, PRIMARY KEY (repo, subject, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX referrer_subject ON referrer (subject);
CREATE INDEX referrer_digest ON referrer (digest);
CREATE TABLE denial (
    repo INTEGER NOT NULL REFERENCES repo (id), digest BLOB NOT NULL, config BLOB NOT NULL, media_type TEXT NOT NULL,
    reason TEXT NOT NULL, message TEXT NOT NULL, expires INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (repo, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX denial_config ON denial (repo, config);
CREATE TABLE pin (
    digest BLOB NOT NULL, kind INTEGER NOT NULL, repo TEXT NOT NULL, who TEXT NOT NULL, comment TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (digest, kind, repo)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, reference TEXT NOT NULL, derivation INTEGER NOT NULL,
    state INTEGER NOT NULL, stage TEXT NOT NULL, bytes_done INTEGER NOT NULL, bytes_total INTEGER NOT NULL,
    created INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL, error TEXT NOT NULL,
    message TEXT NOT NULL, attempts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_state ON job (state, id);
-- version 2
CREATE TABLE hold (
    repo INTEGER NOT NULL REFERENCES repo (id), tag TEXT NOT NULL, source BLOB NOT NULL, served BLOB NOT NULL,
    who TEXT NOT NULL, comment TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (repo, tag)
) STRICT, WITHOUT ROWID;
-- version 3
CREATE INDEX derivation_reference ON derivation (reference, id);
CREATE INDEX derivation_source ON derivation (source, id);
CREATE INDEX job_reference ON job (reference, id);

CREATE TABLE approval (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repo (id), tag TEXT NOT NULL,
    source BLOB NOT NULL, digest BLOB NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    policy TEXT NOT NULL, state INTEGER NOT NULL, who TEXT NOT NULL, comment TEXT NOT NULL,
    created INTEGER NOT NULL, decided INTEGER NOT NULL, turn INTEGER NOT NULL, UNIQUE (repo, tag, digest)
) STRICT;
CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX approval_digest ON approval (digest, repo);
CREATE INDEX approval_current ON approval (repo, tag, turn) WHERE state = 2;

CREATE TABLE override (
    id INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, mode TEXT NOT NULL, rules TEXT NOT NULL,
    expires INTEGER NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL, ended INTEGER NOT NULL
) STRICT;
CREATE INDEX override_live ON override (ended, expires);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL, request TEXT NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_who ON audit (who, id);
CREATE INDEX audit_subject ON audit (subject, id);
CREATE TABLE pulled (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, repo INTEGER NOT NULL REFERENCES repo (id),
    reference TEXT NOT NULL, digest BLOB NOT NULL, who TEXT NOT NULL, peer TEXT NOT NULL
) STRICT;
CREATE INDEX pulled_digest ON pulled (digest, id);
CREATE INDEX pulled_at ON pulled (at);

CREATE TABLE package (
    purl TEXT NOT NULL, derivation INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (purl, derivation)
) STRICT, WITHOUT ROWID;
CREATE INDEX package_derivation ON package (derivation);
CREATE TABLE change (
    derivation INTEGER NOT NULL, seq INTEGER NOT NULL, rule TEXT NOT NULL, action TEXT NOT NULL, path TEXT NOT NULL,
    package TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, because TEXT NOT NULL,
    PRIMARY KEY (derivation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_path ON change (derivation, path);
CREATE TRIGGER derivation_gone AFTER DELETE ON derivation BEGIN
    DELETE FROM package WHERE derivation = old.id;
    DELETE FROM change WHERE derivation = old.id;
END;
