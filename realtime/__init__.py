"""A realtime voice server: the OpenAI Realtime protocol in front of any chat model.

Five nouns, from the wire inwards:

    Codec     frames <-> events, one for each dialect                        realtime.wire
    Session   inputs -> effects: who said what, and what happens next        realtime.session
    Runner    does what a session asks, and brings back what came of it      realtime.runner
    Engines   the models: Llm, Stt, Tts, Vad                                 realtime.ports, realtime.engines
    Listener  the sockets                                                    realtime.server

`realtime.app` puts them together; `python -m realtime serve` runs it. README.md in this folder is the map.
"""
