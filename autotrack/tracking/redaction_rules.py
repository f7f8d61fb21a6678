"""The rules of redaction: what names tell of a secret, and what tokens look like.

Here is where a new kind of token is added: one line in `_SHAPES`, one in the test.
"""

from __future__ import annotations

import functools
import re

REDACTED = "[redacted]"
"""What stands where a secret was."""

HARMLESS, SHAPED, LITERAL, STRONG = range(4)
"""What a name says about its value: nothing; a secret if it looks random; if it is no code and no number; always."""

PRIVATE_KEY = 16 * 1024
"""A private key in PEM form is no longer than this."""

KEYWORD = r"p(?:ass|wd)|s(?:e(?:cret|ssion)|ig)|c(?:redential|ookie)|token|key|auth|bearer"
"""Words (lower case) of which one is in every name that may tell of a secret."""
NAME = r"""(?x)
    (?=(?P<name> [\w\-]{3,56} )) (?P=name)
    (?: (?: \\{0,3} ["'] )? \]? [\ \t]{0,16}
        (?: (?P<assign>
              (?: : \s{0,2} (?: (?:Optional|Final) \[ [\w.]{1,30} \] | str | bytes | Any | Final | Secret\w{0,9} )
                  (?: \s? \| \s? None )? \s{0,2} )?
              (?: => | := | = (?!=) )
            | : (?! [:=] | // ) )
          | (?P<compare> [=!]= ) )
        [\ \t]{0,16}
      | (?P<comma> \\{0,3} ["'] , ) \s{0,4}
      | (?P<space> [\ \t]{1,4} ) )
"""
"""Such a name from its keyword on (its beginning is found by looking back), and what links it to a value."""
URL = r"""://[^\s"'<>`]*"""
VARIABLES = r"(?:[\w\-]{0,40}:)?\$\{\w{1,100}\}\Z|\$\{\w{1,100}\}:\$\{\w{1,100}\}\Z"
"""User and password that stand in the environment: `oauth2:${TOKEN}`."""
RUN = r"""[^\s"'`\\,;)}\]&]*"""
OPENING = r"""(?i:[rbfu]{0,2})(\\{0,3}(?:\"\"\"|'''|"|'))"""
STOP = r"""[\s"'`]|\\[nrt"']|[,;)}\]](?=[\s,;)}\]"'\\]|\Z)|&(?=[\w.\-]{1,64}=)"""
HEADER_STOP = r"""[\r\n"']|\\[nrt"']"""
SCHEME = r"(?i:bearer|basic|token|digest|negotiate|apikey)[ \t]{1,4}(?=\S)"
LONG_RUN = r"[\w.:\-]{18,}"
BETWEEN = r"[^\w.:\-]"
"""What stands between two such runs."""
WORD = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
NUMBER = r"[+-]?(?:\d{1,9}(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?[jJLlf]?"
REFERENCE = r"""(?x)
    \$\{?[A-Za-z_]\w*\}?\Z | \$\{\{.* | %\(\w+\)s\Z | \{[\w.]+\}\Z
  | (?:\w+\.)?(?:environ\b|getenv\b|getpass\b).*
"""
"""A value that says where the secret is to be found, and is none."""
CODE = r"""(?x) [\[({<$*] | lambda\b | [A-Za-z_][\w.]{0,200}[\[(] | [A-Za-z_]{1,40}(?:\.[A-Za-z_]{1,40})+\Z """
PEM_BEGIN = r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
PEM_END = r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
PEM_BODY = rf"[A-Za-z0-9+/=\s\\-]{{0,{PRIVATE_KEY}}}"
BEARER = r"(?i:\bbearer[ \t]{1,4})([A-Za-z0-9._~+/\-]{16,}=*)"
BASIC = r"(?i:\bbasic[ \t]{1,4})([A-Za-z0-9+/]{8,1000}={0,2})(?![A-Za-z0-9+/=])"
WEBHOOK = r"(hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks)/[\w/\-]{1,200}"
WANDB = r"(?i:\bwandb(?:\.|[ \t]{1,4})login\W{1,4})([0-9a-fA-F]{40})(?![0-9A-Za-z])"
NETRC = r"\b(?:machine\s{1,9}\S{1,200}|default)\s{1,9}login\s{1,9}\S{1,200}\s{1,9}password\s{1,9}(\S{1,500})"
AZURE_STORAGE = r"(?<![A-Za-z0-9+/\-])([A-Za-z0-9+/]{86}==)"
AZURE_CLIENT = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))([\w.]{3}[0-9]Q~[\w.~\-]{31,34})(?![\w~])"

_SHAPES = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",  # Amazon Web Services
    r"gh[opsur]_[A-Za-z0-9]{30,255}",  # GitHub
    r"github_pat_\w{22,255}",
    r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas)-[\w\-.]{20,300}",  # GitLab
    r"xox[a-z]-[\w\-]{10,300}",  # Slack
    r"xapp-[\w\-]{20,300}",
    r"sk-(?:proj|svcacct|admin|None|ant|or|lf)-[\w\-]{16,300}",  # OpenAI, Anthropic, OpenRouter, Langfuse
    r"sk-[A-Za-z0-9]{20,300}",
    r"sk-(?=[A-Za-z]{0,20}[0-9])[A-Za-z0-9]{16,300}",
    r"hf_[A-Za-z0-9]{20,100}",  # Hugging Face
    r"api_org_[A-Za-z]{30,100}",
    r"AIza[\w\-]{30,100}",  # Google
    r"ya29\.[\w\-]{20,2000}",
    r"GOCSPX-[\w\-]{20,100}",
    r"npm_[A-Za-z0-9]{30,100}",
    r"pypi-A[\w\-]{32,2000}",
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,300}",  # Stripe
    r"whsec_[A-Za-z0-9]{20,100}",
    r"sq0(?:atp|csp)-[\w\-]{20,60}",  # Square
    r"wandb_v[0-9]_\w{20,200}",  # Weights & Biases (the older form, 40 hexadecimal digits, by its name alone)
    r"dapi[0-9a-f]{32}",  # Databricks
    r"nvapi-[\w\-]{20,200}",
    r"gsk_[A-Za-z0-9]{20,200}",  # Groq
    r"r8_[A-Za-z0-9]{30,100}",  # Replicate
    r"pplx-[A-Za-z0-9]{30,100}",
    r"xai-[A-Za-z0-9]{30,200}",
    r"pcsk_\w{30,200}",  # Pinecone
    r"lsv2_[a-z]{2}_\w{30,100}",  # LangSmith
    r"SG\.[\w\-]{16,64}\.[\w\-]{16,100}",  # SendGrid
    r"do[opr]_v1_[0-9a-f]{40,100}",  # DigitalOcean
    r"dckr_[po]at_[\w\-]{20,100}",
    r"hv[sbr]\.[\w\-]{20,300}",  # Vault
    r"tskey-[\w\-]{16,200}",  # Tailscale
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w\-]{40,100}",  # Terraform
    r"sntry[su]_[\w\-]{20,300}",  # Sentry
    r"lin_(?:api|oauth)_[A-Za-z0-9]{32,100}",  # Linear
    r"ntn_[A-Za-z0-9]{40,60}",  # Notion
    r"secret_[A-Za-z0-9]{43}(?![A-Za-z0-9_])",
    r"PMAK-[0-9a-f]{20,30}-[0-9a-f]{30,40}",  # Postman
    r"gl(?:sa|c)_[\w\-]{30,300}",  # Grafana
    r"NR(?:AK|RA|II|JS)-[A-Za-z0-9\-]{20,60}",  # New Relic
    r"SK[0-9a-f]{32}(?![A-Za-z0-9])",  # Twilio
    r"(?<![\w\-])key-[0-9a-f]{32}(?![A-Za-z0-9])",  # Mailgun
    r"(?=[A-Za-z_\-]{0,25}[0-9])[MNO][\w\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,45}",  # Discord
    r"ATATT3[\w\-]{40,300}",  # Atlassian
    r"ATBB[A-Za-z0-9]{28,40}",
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",  # Airtable
    r"fig[dou]_[\w\-]{30,100}",  # Figma
    r"HRKU-[\w\-]{36,70}",  # Heroku
    r"sbp_[0-9a-f]{40}",  # Supabase
    r"pscale_(?:tkn|pw|oauth)_[\w\-.]{30,100}",  # PlanetScale
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w\-.]{30,100}",  # Doppler
    r"pul-[0-9a-f]{40}",  # Pulumi
    r"rubygems_[0-9a-f]{48}",
    r"KGAT_[0-9a-f]{32}",  # Kaggle
    r"tgp_v1_[\w\-]{30,100}",  # Together
    r"csk-[a-z0-9]{40,100}",  # Cerebras
    r"rpa_[A-Z0-9]{30,100}",  # RunPod
    r"tvly-[\w\-]{20,100}",  # Tavily
    r"jina_[A-Za-z0-9]{40,100}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,70}",  # age
    r"eyJhcGlf[\w]{40,500}",  # Neptune: JSON that begins with the address of an API
    r"(?:bot)?[0-9]{8,10}:AA[\w\-]{32,40}",  # Telegram
    r"eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]*",  # JSON web tokens
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHAPES = r"(?<![A-Za-z0-9])(?:" + "|".join(_SHAPES[:-1]) + r")|(?:(?<![\w\-])|(?<=\A-))" + _SHAPES[-1]
"""Any token shape; one begins where no letter or digit stands before it."""

_ALWAYS_WORDS = ("password", "passwords", "passwd", "passphrase", "secret", "secrets", "credential", "credentials")
_ALWAYS_ENDINGS = (
    *_ALWAYS_WORDS,
    *(
        kind + thing
        for kind in ("api", "auth", "access", "secret", "private", "refresh")
        for thing in ("key", "keys", "token", "tokens")
    ),
)
_QUALIFIERS = _words(
    "api access account admin app auth authentication bearer bot client consumer deploy encryption fernet "
    "license master oauth personal private refresh secret service session shared signing ssh subscription "
    "webhook write"
)
"""Words that make a key or a token behind them a secret one."""
_VOCABULARY = _words(
    "bos cls end eos first gist image last mask new next num number oov out pad per prefix sep special start stop "
    "suffix unk unknown video audio blank"
)
"""Words that make a token behind them one of a language model's vocabulary."""
_ABOUT = _words(
    "file path dir folder name url uri endpoint length len size count min max policy type version field column "
    "required enabled prompt manager provider attempts"
)
"""Last words that make a name one about a secret, not of one."""
_COUNTS = _words("n num number max min total")
"""First words of names that are of counts: `n_access_tokens`."""
PLAIN = _words(
    "none null nil true false yes no on off str bytes int bool float any auto default optional required self ... "
    f"undefined {REDACTED}"
)
"""Values that are no secret under any name (lower case)."""
NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


@functools.cache
def pattern(source: str) -> re.Pattern[str]:
    """A pattern of this module, compiled at its first use; with ASCII classes, faster and meaning what they say."""
    return re.compile(source, re.ASCII)


@functools.lru_cache(maxsize=2048)
def sensitivity(name: str) -> int:
    """What a name says about its value.

    The last component and its last word decide: `api_key`, `OPENAI_API_KEY`, `dbPassword` name secrets, `key_dim`,
    `token_count`, `password_file` do not.
    """
    last = name.strip("-_. ").replace("-", "_").rpartition(".")[2]
    words = [word.lower() for word in pattern(WORD).findall(last)]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in ("value", "base")):
        words.pop()
    if not words:
        return HARMLESS
    *others, word = words
    if others and others[0] in _COUNTS:
        return HARMLESS
    if word.endswith(_ALWAYS_ENDINGS):
        return STRONG
    if others and others[-1] in _QUALIFIERS and word in ("key", "keys", "token", "tokens"):
        return STRONG
    if any(other.endswith(_ALWAYS_WORDS) for other in others):
        return HARMLESS if word in _ABOUT else LITERAL
    return _sensitivity_of_word(word, others, environment=bool(others) and last.isupper())


def _sensitivity_of_word(word: str, others: list[str], environment: bool) -> int:
    if word == "token":
        return SHAPED if others and others[-1] in _VOCABULARY else LITERAL
    if word == "key":
        return LITERAL if environment else SHAPED
    if word in ("authorization", "bearer"):
        return STRONG
    if word in ("auth", "cookie", "pwd") or (word == "pass" and (others or environment)):
        return LITERAL
    if word.endswith("pwd") or word in ("signature", "sig", "session", "sessionid", "tokens", "keys"):
        return SHAPED
    return HARMLESS
