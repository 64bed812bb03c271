"""Changes a KB until it is killed, again and again, and checks what is left of it.

    python crash_driver.py FOLDER KILLS SEED

The changes are numbered and each depends on its number alone, so the state of the KB
tells how many of them took place. A child that is about to be killed reports every
change that returned: none of these may be lost, and at most one more may have happened.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from small_encoders import WordEncoder

import spacy_dwe.kb.index.snapshot as snapshot
from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities, rebuild_kb, remove_entities
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import DESCRIPTIONS
from spacy_dwe.kb.verify import kb_problems

START = 60


def entity(number, edition=0):
    words = " ".join(f"word{(number * k + edition) % 97}" for k in range(1, 12))
    aliases = (Alias(f"alias {number} {edition}", 0.5),)
    return Entity(f"Q{number}", f"Name {number}", f"{words}, 19{number % 90}.", aliases)


def change(path, step):
    """The step-th change: entities come and are changed, one goes, or all is made
    anew."""
    if step % 8 == 6:
        rebuild_kb(path, text_encoder=WordEncoder())
    elif step % 4 == 3:
        remove_entities(path, [f"Q{START + step - 2}"])
    else:
        new = [entity(START + step), entity(step % START, edition=step)]
        add_entities(path, new, on_conflict="replace", text_encoder=WordEncoder())


def expected(step):
    """What the KB holds after the step-th change."""
    entities = {f"Q{i}": entity(i) for i in range(START)}
    for done in range(1, step + 1):
        if done % 8 == 6:
            continue
        if done % 4 == 3:
            entities.pop(f"Q{START + done - 2}")
        else:
            for new in (entity(START + done), entity(done % START, edition=done)):
                entities[new.id] = new
    return entities


def child(path, step, pipe):
    while True:
        step += 1
        change(path, step)
        os.write(pipe, b".")


def killed_after(path, step, changes, seconds):
    """Kill a child some time after it has reported so many changes.

    RETURNS (int): the last change that it reported.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.close(reader)
        child(path, step, writer)
    os.close(writer)
    reported = sum(len(os.read(reader, 1)) for _ in range(changes))
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    while data := os.read(reader, 4096):
        reported += len(data)
    os.close(reader)
    return step + reported


def check(path, step):
    """RETURNS (int): the change that the KB stands at."""
    kb = DweKnowledgeBase(path)
    held = {found.id: found for found in kb}
    now = step if held == expected(step) else step + 1
    assert held == expected(now), f"neither change {step} nor the next"
    problems = list(kb_problems(path))
    assert not problems, problems
    for name, found in list(held.items())[:: len(held) // 10]:
        assert kb.ids(kb.search([found.aliases[0].alias], 1).rows) == [name]
    assert kb.vector_sets[DESCRIPTIONS].gather(kb.all_rows(1).rows)[1].all()
    return now


def main(folder, kills, seed):
    draw = random.Random(seed)
    path = Path(folder) / "kb"
    build_kb(map(entity, range(START)), path, text_encoder=WordEncoder())
    step, slowest = 0, 0.0
    for _ in range(kills):
        # Both ways of a change: making the snapshot anew, and extending it.
        snapshot.ALWAYS_NEW = draw.choice((0, 1000))
        start = time.perf_counter()
        change(path, step + 1)
        slowest = max(slowest, time.perf_counter() - start)
        changes, seconds = draw.randrange(3), draw.uniform(0, slowest)
        step = check(path, killed_after(path, step + 1, changes, seconds))
    print(f"{kills} kills, {step} changes, nothing lost")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
