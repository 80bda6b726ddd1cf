"""The Hugging Face Hub: publish a tree in one commit, pull a pinned truth, offer a submission in a pull request.

No function takes a token: huggingface_hub finds it where ``hf auth login`` or ``HF_TOKEN`` left it, and no message shows it.
"""

from safer_bench.dataset.hub.publishing import Plan, make_plan, publish
from safer_bench.dataset.hub.pulling import pull
from safer_bench.dataset.hub.submitting import submit

__all__ = ["Plan", "make_plan", "publish", "pull", "submit"]
