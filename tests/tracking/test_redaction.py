"""Redaction: what goes, what stays, and that it takes linear time."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrack.tracking import redaction
from autotrack.tracking.redaction import REDACTED, redact, redact_argv, redact_mapping, redact_url

HEX = "0123456789abcdef" * 8
ALNUM = "a1B2c3D4e5F6g7H8j9K0" * 12

# Put together here, so that no scanner of source code takes them for real ones.
TOKENS = {
    "aws access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws temporary key": "ASIA" + "IOSFODNN7EXAMPLE",
    "github classic": "ghp_" + ALNUM[:36],
    "github server": "ghs_" + ALNUM[:36],
    "github fine-grained": "github_pat_" + ALNUM[:22] + "_" + ALNUM[:59],
    "gitlab": "glpat-" + ALNUM[:20],
    "slack bot": "xoxb-" + "123456789012-" + ALNUM[:24],
    "slack app": "xapp-" + "1-A012-" + ALNUM[:30],
    "slack webhook": "hooks.slack.com/" + "services/T000/B000/" + ALNUM[:24],
    "openai": "sk-" + ALNUM[:48],
    "openai short": "sk-" + "abc123def456ghi7",
    "openai project": "sk-proj-" + ALNUM[:40] + "-" + ALNUM[:20],
    "anthropic": "sk-ant-" + "api03-" + ALNUM[:80] + "-AA",
    "hugging face": "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "google api": "AIza" + ALNUM[:35],
    "google oauth": "ya29." + ALNUM[:60],
    "npm": "npm_" + ALNUM[:36],
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + ALNUM[:60],
    "stripe secret": "sk_" + "live_" + ALNUM[:24],
    "stripe restricted": "rk_" + "test_" + ALNUM[:24],
    "stripe webhook": "whsec_" + ALNUM[:32],
    "weights and biases": "wandb_v1_" + ALNUM[:60],
    "databricks": "dapi" + HEX[:32],
    "nvidia": "nvapi-" + ALNUM[:60],
    "groq": "gsk_" + ALNUM[:50],
    "replicate": "r8_" + ALNUM[:37],
    "perplexity": "pplx-" + ALNUM[:48],
    "xai": "xai-" + ALNUM[:80],
    "pinecone": "pcsk_" + ALNUM[:60],
    "langsmith": "lsv2_pt_" + HEX[:32] + "_abcdef0123",
    "sendgrid": "SG." + ALNUM[:22] + "." + ALNUM[:43],
    "digitalocean": "dop_v1_" + HEX[:64],
    "docker": "dckr_pat_" + ALNUM[:27],
    "vault": "hvs." + ALNUM[:90],
    "tailscale": "tskey-" + "auth-" + ALNUM[:30],
    "shopify": "shpat_" + HEX[:32],
    "docker organisation": "dckr_oat_" + ALNUM[:27],
    "github oauth": "gho_" + ALNUM[:36],
    "github user": "ghu_" + ALNUM[:36],
    "square": "sq0atp-" + ALNUM[:22],
    "terraform": ALNUM[:14] + ".atlasv1." + ALNUM[:67],
    "sentry": "sntrys_" + "eyJpYXQiOjE3" + ALNUM[:60],
    "linear": "lin_api_" + ALNUM[:40],
    "notion": "ntn_" + ALNUM[:46],
    "notion older": "secret_" + ALNUM[:43],
    "postman": "PMAK-" + HEX[:24] + "-" + HEX[:34],
    "grafana": "glsa_" + ALNUM[:32] + "_" + HEX[:8],
    "new relic": "NRAK-" + ALNUM[:27].upper(),
    "twilio": "SK" + HEX[:32],
    "discord": "MTA" + ALNUM[:21] + ".Gh1jK2." + ALNUM[:38],
    "atlassian": "ATATT3" + "xFfGF0" + ALNUM[:60],
    "airtable": "pat" + ALNUM[:14] + "." + HEX[:64],
    "figma": "figd_" + ALNUM[:40],
    "heroku": "HRKU-" + "AA" + ALNUM[:58],
    "supabase": "sbp_" + HEX[:40],
    "planetscale": "pscale_tkn_" + ALNUM[:43],
    "doppler": "dp.pt." + ALNUM[:43],
    "pulumi": "pul-" + HEX[:40],
    "rubygems": "rubygems_" + HEX[:48],
    "kaggle": "KGAT_" + HEX[:32],
    "together": "tgp_v1_" + ALNUM[:43],
    "cerebras": "csk-" + ALNUM[:48].lower(),
    "runpod": "rpa_" + ALNUM[:44].upper(),
    "tavily": "tvly-" + "dev-" + ALNUM[:32],
    "jina": "jina_" + ALNUM[:60],
    "age": "AGE-SECRET-" + "KEY-1" + ALNUM[:58].upper(),
    "neptune": "eyJ" + "hcGlfYWRkcmVzcyI6Imh0dHBzOi8v" + ALNUM[:60],
    "discord webhook": "discord.com/api/" + "webhooks/123456789012345678/" + ALNUM[:68],
    "azure client secret": "aB3" + "8Q~" + ALNUM[:34],
    "telegram": "123456789:" + "AA" + ALNUM[:33],
    "json web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + ALNUM[:43],
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("frame", ["{}", "before {} after", "f('{}')", "x={}\n", '{{"x":"{}"}}', "line\\n{}\\n", "-{}"])
def test_a_token_of_a_known_shape_goes_wherever_it_stands(token: str, frame: str) -> None:
    """Each issuer's token is replaced in plain text, code, JSON and behind an escaped line end."""
    shown = redact(frame.format(token))
    assert token not in shown
    assert token[-12:] not in shown
    assert REDACTED in shown


def test_a_private_key_goes_whole() -> None:
    """A key in PEM form is replaced from its first line to its last, in a diff too; the text around it stays."""
    body = "\n".join("+" + ALNUM[:64] for _ in range(20))
    for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "PGP "):
        tail = " BLOCK" * (kind == "PGP ")
        key = f"+-----BEGIN {kind}PRIVATE KEY{tail}-----\n{body}\n+-----END {kind}PRIVATE KEY{tail}-----"
        assert redact(f"before\n{key}\nafter") == f"before\n+{REDACTED}\nafter"
    account = (
        '{"private_key": "-----BEGIN PRIVATE ' + f'KEY-----\\\\n{ALNUM}\\\\n-----END PRIVATE KEY-----\\\\n", "x": 1}}'
    )
    assert ALNUM not in redact(account)
    assert '"x": 1' in redact(account)
    clipped = f"before -----BEGIN RSA PRIVATE KEY-----\n{body}"
    assert redact(clipped) == f"before {REDACTED}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:pass@host/x?y=1", f"https://{REDACTED}@host/x?y=1"),
        ("https://sometoken@github.com/a/b.git", f"https://{REDACTED}@github.com/a/b.git"),
        ("git+https://oauth2:abc@gitlab.com/a.git@v1#egg=a", f"git+https://{REDACTED}@gitlab.com/a.git@v1#egg=a"),
        ("postgresql+psycopg://me:p@ss@db:5432/x", f"postgresql+psycopg://{REDACTED}@db:5432/x"),
        ("postgresql://me:p/ss@db/x", f"postgresql://{REDACTED}@db/x"),
        ("redis://:hunter2@localhost:6379/0", f"redis://{REDACTED}@localhost:6379/0"),
        ("a=https://u:p@h1/,b=ftp://v:q@h2/", f"a=https://{REDACTED}@h1/,b=ftp://{REDACTED}@h2/"),
        ("mysql://h/db?user=x&password=y&z=1", f"mysql://h/db?user=x&password={REDACTED}&z=1"),
    ],
)
def test_credentials_in_urls_go(text: str, expected: str) -> None:
    """User, password and token in front of a host go, awkward characters included, and the rest of the URL stays."""
    assert redact_url(text) == expected
    assert redact(f"see {text} now") == f"see {expected} now"


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@github.com/a/b.git",
        "git@github.com:a/b.git",
        "postgresql://me@db/x",
        "http://host:8080/@scope/package",
        "http://[::1]:8080/@x",
        "https://medium.com/@someone/post",
        "sqlite:///runs/a@b/autotrack.db",
        "s3://bucket/key/model.pkl",
        "https://example.org/a?mail=me@example.org",
    ],
)
def test_urls_without_credentials_stay(text: str) -> None:
    """A user of ssh or of a database, a port, and an @ in a path or a query are no secrets."""
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2", "password=#"),
        ("PASSWORD=abc,d;e&f", "PASSWORD=#"),
        ("Proxy-Authorization: Basic " + "dXNlcjpwYXNz", "Proxy-Authorization: Basic #"),
        ("sent basic " + "dXNlcjpwYXNz" + " to it", "sent basic # to it"),
        ("wandb.login('" + HEX[:40] + "')", "wandb.login('#')"),
        ("$ wandb login " + HEX[:40], "$ wandb login #"),
        ("machine api.x.y login user password abc12", "machine api.x.y login user password #"),
        ("machine h\n  login u\n  password p\nmachine g", "machine h\n  login u\n  password #\nmachine g"),
        ("the key " + ALNUM[:86] + "==", "the key #"),
        ("https://a.blob/x?sv=2024&sig=" + ALNUM[:43] + "%3D&se=1", "https://a.blob/x?sv=2024&sig=#&se=1"),
        ("PGPASSWORD=1234 psql", "PGPASSWORD=# psql"),
        ("DB_PASS=abc MYSQL_PWD=def", "DB_PASS=# MYSQL_PWD=#"),
        ("--api-key abc --epochs 3", "--api-key # --epochs 3"),
        ("--token=abc", "--token=#"),
        ("--hf_token abc", "--hf_token #"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "#", "user": "me"}'),
        ("{'api_key': 'a\\'b', 'max_tokens': 100}", "{'api_key': '#', 'max_tokens': 100}"),
        ('{\\"secret\\": \\"abc\\", \\"x\\": 1}', '{\\"secret\\": \\"#\\", \\"x\\": 1}'),
        ("Authorization: Bearer abcdef", "Authorization: Bearer #"),
        ("Authorization: Basic dXNlcjpwYXNz\nHost: x", "Authorization: Basic #\nHost: x"),
        ('curl -H "Authorization: Token abc" https://x.y', 'curl -H "Authorization: Token #" https://x.y'),
        ("X-Api-Key: abc", "X-Api-Key: #"),
        ("Cookie: a=b; c=d", "Cookie: #"),
        ("sent Bearer " + ALNUM[:20], "sent Bearer #"),
        ("clientSecret: 'abc'", "clientSecret: '#'"),
        ("apikey=abc", "apikey=#"),
        ("api_key : abc", "api_key : #"),
        ("AccountKey=abc==;EndpointSuffix=core", "AccountKey=#"),
        ("WANDB_API_KEY=" + HEX[:40], "WANDB_API_KEY=#"),
        ("AWS_SECRET_ACCESS_KEY=wJal/K7MDENG/bPx", "AWS_SECRET_ACCESS_KEY=#"),
        ("COMET_KEY=abc", "COMET_KEY=#"),
        ("X-Amz-Signature=" + HEX[:64], "X-Amz-Signature=#"),
        ("key=" + HEX[:32], "key=#"),
        ('os.environ["API_KEY"] = "abc"', 'os.environ["API_KEY"] = "#"'),
        ('os.getenv("DB_PASSWORD", "hunter2")', 'os.getenv("DB_PASSWORD", "#")'),
        ('password: str | None = "hunter2"', 'password: str | None = "#"'),
        ('if password == "hunter2":', 'if password == "#":'),
        ('password = """a\nb"""', 'password = """#"""'),
        ("token = f'abc{x}'", "token = f'#'"),
        ('token = "abc"', 'token = "#"'),
        ("token: abc", "token: #"),
        ('requests.get(u, auth=("user", "pass"))', "requests.get(u, auth=(#))"),
        ('api_keys = ["abc", "def"]', "api_keys = [#]"),
        ('["--token", "abc", "--lr", "0.1"]', '["--token", "#", "--lr", "0.1"]'),
        ('"password": "clipped', '"password": "#'),
        ("\u0130\u0130 password=hunter2", "\u0130\u0130 password=#"),
    ],
)
def test_the_value_behind_a_telling_name_goes(text: str, expected: str) -> None:
    """Command lines, environment files, JSON, headers and code lose the value, and nothing else."""
    assert redact(text) == expected.replace("#", REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=100",
        "tokenizer=bert",
        "keyboard=qwerty",
        "monkey=1",
        "random_key_dim=3",
        "key_dim=64, num_keys=8, hidden_key_size=64",
        "token_count: 12345678901",
        'pad_token="[PAD]" eos_token="</s>" mask_token=<mask>',
        "token_pattern='(?u)\\\\b\\\\w\\\\w+\\\\b'",
        "tfidf__tokenizer=None",
        "sorted(xs, key=len)",
        'sort(key="accuracy")',
        "token = next(stream)",
        "token = tokens[i]",
        "def f(token: Tensor, key: jax.Array) -> None:",
        "use_auth_token=True, token=None, password=''",
        'password = os.environ["PW"]',
        "password = getpass.getpass()",
        "connect(password=password, token=self.token)",
        "token=$HF_TOKEN password=${PASSWORD}",
        "password_file=/run/x secret_name=db",
        "PWD=/home/me OLDPWD=/tmp",
        'features = ["user", "password", "email"]',
        "author=Ann; compass=north; n_pass=3; first_pass=True; secretary=Bob",
        "LogisticRegression(C=1.0, random_state=0)",
        "commit " + HEX[:40],
        "sha256:" + HEX[:64],
        "sk-toggleable__label-arrow sk-estimator-doc-link",
        "sha512-" + ALNUM[:86] + "==",
        "basic training of basic BlockNetwork, Basic classification",
        "n_tokens=512 max_key_length=77 token_dim=64 key_padding_mask=None query_key_value=True",
        "--tokenizer bert-base --num-tokens 8 --key-size 64 --keypoints=17 --author-count 3 -p 8080 --passes 2",
        "n_access_tokens=5, num_private_keys=2, max_secret=3, --max-session-tokens 100",
        "use_key=True, sort_keys=False, key_columns=['a', 'b'], tokens_per_second=1000.5, sessions=3",
        "--session-length 30 --signature-columns x --auth-steps 5 --secretary-problem-n 10",
        "cache-key-" + HEX[:32] + " md5 " + HEX[:32] + " uuid 0f8fad5b-d9cb-469f-a165-70867728950e",
        "NormalizedMutualInformationScore.fitted.compute_with_adjustment_for_chance",
        "Microsoft-Azure-Cognitive-2024.models.embedding_generator_of_version",
        "runs/2024-01-01T00:00:00/checkpoint-1234567-epoch_00012-val_loss_0.123456.ckpt",
        "openai/clip-vit-large-patch14-336 meta-llama/Llama-3.1-8B-Instruct hf-internal-testing/tiny-random",
        "the password is checked: see below",
        "passwords",
        "",
        "key=",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Hyper-parameters, code, look-ups, vocabulary tokens and digests stay as they are."""
    assert redact(text) == text


def test_a_command_line_loses_the_item_behind_a_telling_option() -> None:
    """The value of a secret option may be an item of its own; other options keep theirs."""
    argv = [
        "train.py",
        "--token",
        "abc",
        "--lr",
        "0.1",
        "--password=x",
        "--max-tokens",
        "100",
        "--api-key",
        "--verbose",
    ]
    expected = [
        "train.py",
        "--token",
        "#",
        "--lr",
        "0.1",
        "--password=#",
        "--max-tokens",
        "100",
        "--api-key",
        "--verbose",
    ]
    assert redact_argv(argv) == [item.replace("#", REDACTED) for item in expected]
    assert redact_argv([]) == []
    assert redact_argv(["--token"]) == ["--token"]


def test_a_mapping_loses_values_by_their_keys() -> None:
    """Keys decide over strings, numbers, bytes and lists; nested mappings are followed; the original stays."""
    given_mapping = {
        "password": 1234,
        "api_key": ["abc", "def"],
        "auth": {"user": "me", "token": b"abc"},
        "url": "https://u:p@h",
        "max_tokens": 100,
        "use_auth_token": True,
        "token": None,
    }
    before = repr(given_mapping)
    assert redact_mapping(given_mapping) == {
        "password": REDACTED,
        "api_key": [REDACTED, REDACTED],
        "auth": {"user": "me", "token": REDACTED},
        "url": f"https://{REDACTED}@h",
        "max_tokens": 100,
        "use_auth_token": True,
        "token": None,
    }
    assert repr(given_mapping) == before


WORDS = st.sampled_from(
    [
        *("password", "api_key", "token", "key", "Authorization", "Bearer ", "https://", "-----BEGIN PRIVATE KEY-----"),
        *("=", ": ", " ", '"', "'", "\\", "@", ":", "[", "]", "(", ")", ",", "\n", "--", "&", "\u0130"),
        *("abc", HEX[:40], "ghp_" + ALNUM[:36], "123", "None"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=20).map("".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """Text that was redacted on its way in may be redacted again on its way out."""
    once = redact(text)
    assert redact(once) == once


def test_a_redacted_value_behind_a_scheme_stays() -> None:
    """`Bearer [redacted]` under a telling name is not taken for a secret again."""
    assert redact(redact("password:Bearer password")) == "password:Bearer [redacted]"


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=15), st.text(max_size=15)))
def test_text_without_telling_words_stays(mapping: dict[str, str]) -> None:
    """JSON of any short strings comes out as it went in, unless it happens to hold a telling word or a URL."""
    text = json.dumps(mapping)
    if not re.search(
        r"pass|pwd|se(cret|ssion)|sig|credential|cookie|token|key|auth|bearer|://|[\w.:-]{18}", text.lower()
    ):
        assert redact(text) == text
    assert redact_mapping(mapping).keys() == mapping.keys()


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "key",
        "://",
        "://a@",
        'password="',
        "token='\\'",
        "eyJ",
        "eyJaaaaaaaaaa.",
        'key="\\',
        "\n",
        "-----BEGIN ",
    ],
)
def test_five_million_characters_are_done(unit: str) -> None:
    """Text made to provoke backtracking is worked through in linear time (a quadratic rule would take hours here)."""
    assert redact(unit * (5_000_000 // len(unit)))


def test_a_secret_in_the_middle_of_long_text_goes() -> None:
    """Long text is worked on in pieces; none of the secrets is lost at their borders, and all lines stay in order."""
    lines = [f"line {number} password=hunter{number}" for number in range(20_000)]
    shown = redact("\n".join(lines))
    assert shown == "\n".join(f"line {number} password={REDACTED}" for number in range(20_000))


def test_importing_redaction_compiles_nothing() -> None:
    """Patterns are compiled at first use: the import is nearly free."""
    code = (
        "import re; real = re.compile; made = []\n"
        "re.compile = lambda *a, **k: made.append(a) or real(*a, **k)\n"
        "import autotrack.tracking.redaction as r\n"
        "print(len([a for a in made if a[0] in vars(r).values()]), r.redact('password=x'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == f"0 password={REDACTED}\n"


@pytest.mark.parametrize("user", ["${TOKEN}", "oauth2:${TOKEN}", "${USER}:${TOKEN}"])
def test_a_url_whose_password_stands_in_the_environment_stays(user: str) -> None:
    """pip takes `${NAME}` in a requirement from there; such a URL holds no secret."""
    url = f"kept @ git+https://{user}@github.com/a/b"
    assert redact(url) == url
    assert "hunter" not in redact(url.replace("}", "}hunter"))


def test_a_secret_among_attributes_is_found_by_name_and_by_shape() -> None:
    """Private attributes, dicts and lists too; ordinary ones, numbers and what runs code are passed over."""

    class Holder:
        def __init__(self, **values: object) -> None:
            vars(self).update(values)

    class Loud(dict):  # type: ignore[type-arg]
        def items(self) -> None:  # type: ignore[override]
            raise AssertionError("the program's own code was run")

    plain = Holder(tokenizer="bert", key="encoder", pad_token="[PAD]", size=3, classes=["a", "b"], config={"lr": 1})
    assert redaction.secret_attribute([plain, object(), 3]) == ""
    token = "ghp_" + "a1B2c3D4e5F6g7H8j9K0" * 2
    for values in ({"_api_key": "x1"}, {"notes": ["", {"a": token}]}, {"config": Loud(deep={"password": "x"})}):
        (name,) = values
        assert redaction.secret_attribute([plain, Holder(**values)]) == name


@pytest.mark.parametrize("before", [0, 32_760, 32_768, 70_000])
def test_a_token_is_found_wherever_it_stands_in_a_long_text(before: int) -> None:
    """Long text is searched in pieces, and none is cut in the midst of a token; names in it stay as they are."""
    token = "ghp_" + "a1B2c3D4e5F6g7H8j9K0" * 2
    schema = '{"name": "password", "type": "string"}, ' * (before // 40) + "x" * (before % 40)
    assert redaction.redact_shapes(f'{schema} "{token}" "kept"') == f'{schema} "{REDACTED}" "kept"'
