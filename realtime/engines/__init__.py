"""What does the work behind the ports, each engine in a module of its own. What they are used for is nobody's business but their user's."""

import os

# Since 1.32, onnxruntime writes down its use in the user's cache, and sends it to its maker. Who wants that may still say so.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
