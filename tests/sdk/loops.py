"""Runs tool loops through Envoy with the vendors' own clients: two at once, each interrupted, under a system prompt that changes
with every request. Where each request goes is checked by the labels of its response.

Usage: loops.py THROUGH, a base URL. Prints a line for each request, and ends with 1 when any went elsewhere than it should.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import anthropic
import openai
from google import genai
from google.genai import types

THROUGH = sys.argv[1]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Current weather of a city"}
INTERRUPTED = "[Request interrupted by user for tool use]"


class OpenAIChat:
    def __init__(self):
        self.client = openai.OpenAI(base_url=f"{THROUGH}/v1", api_key="none", max_retries=0)

    def ask(self, system, messages):
        messages = [{"role": "system", "content": system}, *messages]
        tools = [{"type": "function", "function": {**TOOL, "parameters": SCHEMA}}]
        return self.client.chat.completions.with_raw_response.create(model="auto", messages=messages, tools=tools).headers

    def user(self, text):
        return [{"role": "user", "content": text}]

    def step(self, id, result, *texts):
        call = {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        beside = [{"role": "user", "content": text} for text in texts]
        return [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": id, "content": result}, *beside]


class OpenAIResponses(OpenAIChat):
    def ask(self, system, items):
        tools = [{"type": "function", **TOOL, "parameters": SCHEMA, "strict": True}]
        create = self.client.responses.with_raw_response.create
        return create(model="auto", instructions=system, input=items, tools=tools, store=False).headers

    def step(self, id, result, *texts):
        call = {"type": "function_call", "call_id": id, "name": "get_weather", "arguments": "{}"}
        beside = [{"role": "user", "content": text} for text in texts]
        return [call, {"type": "function_call_output", "call_id": id, "output": result}, *beside]


class Anthropic:
    def __init__(self):
        self.client = anthropic.Anthropic(base_url=THROUGH, api_key="none", max_retries=0)

    def ask(self, system, messages):
        system = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
        tools = [{**TOOL, "input_schema": SCHEMA}]
        create = self.client.messages.with_raw_response.create
        return create(model="auto", max_tokens=100, system=system, messages=messages, tools=tools).headers

    def user(self, text):
        return [{"role": "user", "content": text}]

    def step(self, id, result, *texts):
        use = {"type": "tool_use", "id": id, "name": "get_weather", "input": {}}
        result = {"type": "tool_result", "tool_use_id": id, "content": result}
        beside = [{"type": "text", "text": text} for text in texts]
        return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result, *beside]}]


class Gemini:
    def __init__(self):
        self.client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=THROUGH))

    def ask(self, system, contents):
        tools = [types.Tool(function_declarations=[types.FunctionDeclaration(**TOOL, parameters_json_schema=SCHEMA)])]
        config = types.GenerateContentConfig(system_instruction=system, tools=tools)
        answer = self.client.models.generate_content(model="auto", contents=contents, config=config)
        return answer.sdk_http_response.headers

    def user(self, text):
        return [types.Content(role="user", parts=[types.Part(text=text)])]

    def step(self, id, result, *texts):
        call = types.Part(function_call=types.FunctionCall(name="get_weather", args={}))
        result = types.Part(function_response=types.FunctionResponse(name="get_weather", response={"sky": result}))
        beside = [types.Part(text=text) for text in texts]
        return [types.Content(role="model", parts=[call]), types.Content(role="user", parts=[result, *beside])]


CLOCK = count()


def run(api, score, then):
    """One loop: its first question, a result, an interruption with another question, and that one's result."""
    names = {"0.9": "small", "0.1": "large"}
    messages = []

    def went(what, reason, tier, more):
        messages.extend(more)
        second = next(CLOCK)
        system = f"You are an agent. Request: req-{second:06}. Current time: 2026-10-09 10:{second // 60:02}:{second % 60:02}."
        labels = api.ask(system, messages)
        got = labels.get("x-hybrid-llm-tier"), labels.get("x-hybrid-llm-reason")
        verdict = "right" if got == (tier, reason) else "WRONG"
        line = "\t".join([verdict, f"{type(api).__name__}: score {score}", what, *map(str, got)])
        # In one piece, since another loop prints too.
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        return verdict == "right"

    first, second = names[score], names[then]
    return all([
        went("question", "score", first, api.user(f"score {score} What is the weather in Oslo, asked by {type(api).__name__}?")),
        went("result", "affinity", first, api.step("call_1", "snow")),
        went("interruption", "score", second, api.step("call_2", "not run", INTERRUPTED, f"score {then} Leave that. Is Lima warm?")),
        went("its result", "affinity", second, api.step("call_3", "fog")),
    ])


def main():
    apis = [OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini()]
    with ThreadPoolExecutor(2) as at_once:
        loops = [at_once.submit(run, api, *scores) for api in apis for scores in (("0.9", "0.1"), ("0.1", "0.9"))]
    sys.exit(0 if all([loop.result() for loop in loops]) else 1)


if __name__ == "__main__":
    main()
