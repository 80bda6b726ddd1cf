"""What tests start apart: it confines itself as scoring does, then runs the code it is given, which may `say` lines."""

import json
import sys

if __name__ == "__main__":
    job = json.loads(sys.stdin.buffer.read())
    sys.path.insert(0, job["package"])
    from safer_bench.scoring import child

    out = child.enter(job)
    exec(job["source"], {"say": lambda line: child.write(out, line), "out": out, **job["given"]})
