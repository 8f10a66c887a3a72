BEGIN TRANSACTION;
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    row TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'edited', 'rejected')),
    reasoning TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;
INSERT INTO "decisions" VALUES(1,'ad8c2c10eb27fdada8077463ea091687','rejected','a reason of five words','Ada','2026-01-02T03:04:05Z','off topic');
INSERT INTO "decisions" VALUES(2,'42c6bab604aa22dbed92e466cf59c9ac','edited','better words, by hand','Ben','2026-01-02T03:04:06Z','');
INSERT INTO "decisions" VALUES(3,'ad8c2c10eb27fdada8077463ea091687','accepted','a reason of five words','Ben','2026-01-02T03:04:07Z','');
CREATE TABLE lifts (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL,
    condition TEXT NOT NULL,
    candidate INTEGER NOT NULL,
    verifier TEXT NOT NULL,
    gold REAL NOT NULL,
    rival TEXT NOT NULL,
    rival_lift REAL NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate, verifier)
) STRICT, WITHOUT ROWID;
INSERT INTO "lifts" VALUES('275b4cf5ba5b70d4a289759c133ba7a9',1,'label',0,'judge',1.0,'fear',0.25);
INSERT INTO "lifts" VALUES('42c6bab604aa22dbed92e466cf59c9ac',1,'label',0,'judge',1.0,'fear',0.25);
INSERT INTO "lifts" VALUES('ad8c2c10eb27fdada8077463ea091687',1,'label',0,'judge',1.0,'fear',0.25);
CREATE TABLE reasonings (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL REFERENCES settings (number),
    condition TEXT NOT NULL CHECK (condition IN ('label', 'free')),
    candidate INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reasoning TEXT NOT NULL,
    finished INTEGER NOT NULL,
    token_limit INTEGER NOT NULL,
    error TEXT,
    prompt_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate)
) STRICT, WITHOUT ROWID;
INSERT INTO "reasonings" VALUES('275b4cf5ba5b70d4a289759c133ba7a9',1,'label',0,'r2','done','a reason of five words',0,50,NULL,1,5,1);
INSERT INTO "reasonings" VALUES('42c6bab604aa22dbed92e466cf59c9ac',1,'label',0,'r1','done','it''s "quoted"; -- and
long',1,50,NULL,1,4,1);
INSERT INTO "reasonings" VALUES('9dc10ddce5edd7c7a769aa4239dd07c8',1,'label',0,'r3','failed','',0,50,'scripted failure',1,0,1);
INSERT INTO "reasonings" VALUES('ad8c2c10eb27fdada8077463ea091687',1,'label',0,'r0','done','a reason of five words',1,50,NULL,1,5,1);
CREATE TABLE settings (number INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO "settings" VALUES(1,'{"temperature": 0.0}');
CREATE INDEX decisions_of_a_row ON decisions (row);
COMMIT;
PRAGMA user_version = 2;
