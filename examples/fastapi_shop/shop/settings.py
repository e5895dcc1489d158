"""What the environment says, and what counts where it says nothing."""

import os
from typing import Final

DATABASE_URL: Final = os.environ.get("DATABASE_URL", "sqlite:///shop.db")
WORD_SECS: Final = float(os.environ.get("SHOP_WORD_SECS", "0.05"))
"""How long the model takes for a word."""

UPKEEP_SECS: Final = float(os.environ.get("SHOP_UPKEEP_SECS", "60"))
"""The pause between two rounds of upkeep."""

KEEP_HOURS: Final = float(os.environ.get("SHOP_KEEP_HOURS", "720"))
"""How long a conversation is kept that nobody uses."""

STUCK_SECS: Final = float(os.environ.get("SHOP_STUCK_SECS", "300"))
"""How long an answer may take before its turn is taken for dead."""
