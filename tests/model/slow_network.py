"""The network once more: one mention at a time, in loops and double precision, without
any padding or mask. Slow, and easy to compare with the paper."""

import numpy as np


def array(tensor):
    return tensor.detach().double().numpy()


def linear(layer, x):
    return x @ array(layer.weight).T + (0 if layer.bias is None else array(layer.bias))


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + layer.eps)
    return centred / deviation * array(layer.weight) + array(layer.bias)


def feed_forward(first, second, x):
    return linear(second, np.maximum(linear(first, x), 0))


def unit(x):
    return x / np.linalg.norm(x)


def project(projector, x):
    return norm(projector.norm, np.maximum(linear(projector.linear, x), 0))


def attend(layer, x, y):
    """Multi-head attention, token by token and head by head."""
    width, n_heads = layer.embed_dim, layer.num_heads
    weights = array(layer.in_proj_weight).reshape(3, width, width)
    biases = array(layer.in_proj_bias).reshape(3, width)
    queries = x @ weights[0].T + biases[0]
    keys = y @ weights[1].T + biases[1]
    values = y @ weights[2].T + biases[2]
    size = width // n_heads
    out = np.zeros_like(queries)
    for i in range(len(x)):
        for head in range(n_heads):
            part = slice(head * size, (head + 1) * size)
            scores = [queries[i, part] @ key[part] / np.sqrt(size) for key in keys]
            shares = np.exp(scores) / np.exp(scores).sum()
            for share, value in zip(shares, values):
                out[i, part] += share * value[part]
    return linear(layer.out_proj, out)


def enhance(enhancer, x, y):
    """The enhancer of the paper's figure: attention, Add&Norm, FFN, Add&Norm, and then
    a post-norm Transformer decoder layer with one query, or the mean."""
    if not len(y):
        return array(enhancer.absent)
    x = norm(enhancer.attention_norm, x + attend(enhancer.attention, x, y))
    ffn = enhancer.ffn
    x = norm(enhancer.ffn_norm, x + feed_forward(ffn[0], ffn[3], x))
    if enhancer.decoder is None:
        return x.mean(0)
    layer, query = enhancer.decoder, array(enhancer.query)[None]
    query = norm(layer.norm1, query + attend(layer.self_attn, query, query))
    query = norm(layer.norm2, query + attend(layer.multihead_attn, query, x))
    out = feed_forward(layer.linear1, layer.linear2, query)
    return norm(layer.norm3, query + out)[0]


def fuse(fusion, z, a):
    """h = Linear(g·z + (1 - g)·a), dimension by dimension; z + a without a gate."""
    if fusion.gate is None:
        return linear(fusion.output, z + a)
    weight, bias = array(fusion.gate.weight), array(fusion.gate.bias)
    mixed, width = np.zeros_like(z), len(z)
    for i in range(width):
        score = weight[i, :width] @ z + weight[i, width:] @ a + bias[i]
        gate = 1 / (1 + np.exp(-score))
        mixed[i] = gate * z[i] + (1 - gate) * a[i]
    return linear(fusion.output, mixed)


def phrase_projector(body):
    return body.project.own_phrase or body.project.text


def visual_tokens(body, mention):
    enhancer = body.enhancers["vision"]
    tokens = []
    for i, region in enumerate(array(mention.objects)):
        face = array(enhancer.no_face)
        if mention.face_mask[i]:
            face = project(phrase_projector(body), array(mention.faces[i]))
        region = project(body.project.image, region)
        tokens.append(linear(enhancer.visual_token, np.concatenate([region, face])))
    return np.array(tokens)


def dwe_hidden(body, mention):
    """z = m_t + m_v, a = m_s, and their fusion."""
    x = project(body.project.text, array(mention.mention))
    second = {
        "text": lambda: project(body.project.text, array(mention.context)),
        "vision": lambda: visual_tokens(body, mention),
        "attributes": lambda: project(phrase_projector(body), array(mention.scenes)),
    }
    enhanced = {
        name: enhance(enhancer.unit, x, second[name]())
        for name, enhancer in body.enhancers.items()
    }
    z = sum(m for name, m in enhanced.items() if name != "attributes")
    learned = body.no_attributes
    a = enhanced["attributes"] if learned is None else array(learned)
    return fuse(body.fusion, z, a)


def plain_hidden(body, mention):
    """One linear map each of context, picture, mention and its attention to the
    profile, summed."""
    x = project(body.project.text, array(mention.mention))
    context = project(body.project.text, array(mention.context)).mean(0)
    picture, profile = array(body.no_picture), array(body.no_profile)
    if len(mention.pictures):
        picture = project(body.project.image, array(mention.pictures)).mean(0)
    if mention.face_mask.any():
        faces = array(mention.faces)[mention.face_mask.numpy()]
        highest = project(phrase_projector(body), faces).max(0)
        profile = attend(body.attention, x, highest[None]).mean(0)
    maps = np.split(array(body.output.weight), 4, axis=1)
    parts = [context, picture, x.mean(0), profile]
    return sum(m @ part for m, part in zip(maps, parts)) + array(body.output.bias)


def linear_hidden(body, mention):
    text, picture = array(mention.text), np.zeros(mention.pictures.shape[1])
    if len(mention.pictures):
        picture = unit(array(mention.pictures).sum(0))
    if body.reads_mention:
        text = np.concatenate([text, unit(array(mention.mention).mean(0))])
    return np.concatenate([text, picture])


HIDDEN = {"dwe": dwe_hidden, "plain": plain_hidden, "linear": linear_hidden}


def query(encoder, name, mention, kind):
    """q = unit(u + ΔW h), where u mixes the frozen vectors that live in the space."""
    head = encoder.heads[name]
    weights = np.log1p(np.exp(array(encoder.anchor_weights[name])))
    u = np.zeros(head.dim)
    if head.text:
        u += weights[0] * array(mention.text)
    if head.picture and len(mention.pictures):
        u += weights[1] * unit(array(mention.pictures).sum(0))
    h = HIDDEN[kind](encoder.body, mention)
    return unit(unit(u) + linear(encoder.corrections[name], h))
