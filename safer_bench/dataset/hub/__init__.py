"""The Hugging Face Hub: publish a tree in one commit, pull a pinned truth, offer a submission in a pull request.

No function takes a token: huggingface_hub finds it where ``hf auth login`` or ``HF_TOKEN`` left it, and no message shows it.

Light: never imports torch.
"""
