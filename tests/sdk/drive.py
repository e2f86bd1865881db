"""Drives the vendors' own clients through Envoy, and once more straight at the model, and compares what they parsed.

Usage: drive.py THROUGH DIRECT, two base URLs. Through Envoy the clients ask for `auto`; straight at the model they ask for the
model that the query's score leads to. Prints a line for each case, and ends with 1 when any two differ.
"""

import base64
import json
import sys

import anthropic
import boto3
import openai
from google import genai
from google.genai import types

THROUGH, DIRECT = sys.argv[1:3]
SMALL, LARGE = "llama-3.1-8b", "gpt-4.1"
EASY, HARD = "score 0.9 of an easy question", "score 0.1 of a hard question"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Current weather of a city"}


def plain(parsed):
    """A parsed answer as plain data; of a stream, all that it brought."""
    if hasattr(parsed, "model_dump"):
        return parsed.model_dump(exclude={"sdk_http_response"})
    return [plain(event) for event in parsed]


class OpenAIChat:
    def __init__(self, base):
        self.client = openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)

    def ask(self, model, messages, **more):
        return plain(self.client.chat.completions.create(model=model, messages=messages, **more))

    def cases(self, model, query):
        user = {"role": "user", "content": query}
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        turns = [{"role": "system", "content": "Be brief."}, user, {"role": "assistant", "content": "Yes."}, user]
        tools = [{"type": "function", "function": {**TOOL, "parameters": SCHEMA}}]
        yield "plain", lambda: self.ask(model, [user])
        yield "stream", lambda: self.ask(model, [user], stream=True)
        yield "multi-turn", lambda: self.ask(model, turns, temperature=0.5)
        yield "image", lambda: self.ask(model, [{"role": "user", "content": [{"type": "text", "text": query}, image]}])
        yield "tools", lambda: self.tool_loop(model, user, tools, False)
        yield "tools, stream", lambda: self.tool_loop(model, user, tools, True)

    def tool_loop(self, model, user, tools, stream):
        first = self.ask(model, [user], tools=tools, stream=stream)
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
        messages = [user, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "snow"}]
        assert "get_weather" in str(first)
        return first, self.ask(model, messages, tools=tools, stream=stream)


class OpenAICompletions(OpenAIChat):
    def cases(self, model, query):
        create = self.client.completions.create
        yield "plain", lambda: plain(create(model=model, prompt=query))
        yield "array", lambda: plain(create(model=model, prompt=[query, "and another"]))
        yield "stream", lambda: plain(create(model=model, prompt=query, stream=True))


class OpenAIResponses(OpenAIChat):
    def ask(self, model, items, **more):
        return plain(self.client.responses.create(model=model, input=items, **more))

    def cases(self, model, query):
        user = {"role": "user", "content": query}
        image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}
        turns = [user, {"role": "assistant", "content": "Yes."}, user]
        tools = [{"type": "function", **TOOL, "parameters": SCHEMA, "strict": True}]
        yield "plain", lambda: self.ask(model, query)
        yield "stream", lambda: self.ask(model, query, stream=True)
        yield "multi-turn", lambda: self.ask(model, turns, instructions="Be brief.")
        yield "stored", lambda: self.stored(model, query)
        yield "image", lambda: self.ask(model, [{"role": "user", "content": [{"type": "input_text", "text": query}, image]}])
        yield "tools", lambda: self.tool_loop(model, user, tools, False)
        yield "tools, stream", lambda: self.tool_loop(model, user, tools, True)

    def stored(self, model, query):
        first = self.ask(model, query)
        return first, self.ask(model, "and the other one?", previous_response_id=first["id"])

    def tool_loop(self, model, user, tools, stream):
        first = self.ask(model, [user], tools=tools, stream=stream)
        call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'}
        items = [user, call, {"type": "function_call_output", "call_id": "call_1", "output": "snow"}]
        assert "get_weather" in str(first)
        return first, self.ask(model, items, tools=tools, stream=stream)


class Anthropic:
    def __init__(self, base):
        self.client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)

    def ask(self, model, messages, **more):
        return plain(self.client.messages.create(model=model, max_tokens=100, messages=messages, **more))

    def helper(self, model, messages):
        with self.client.messages.stream(model=model, max_tokens=100, messages=messages) as stream:
            return plain(stream.get_final_message())

    def cases(self, model, query):
        user = {"role": "user", "content": query}
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        image = [{"type": "image", "source": source}, {"type": "text", "text": query}]
        turns = [user, {"role": "assistant", "content": "Yes."}, user]
        tools = [{**TOOL, "input_schema": SCHEMA}]
        yield "plain", lambda: self.ask(model, [user])
        yield "stream", lambda: self.ask(model, [user], stream=True)
        yield "stream helper", lambda: self.helper(model, [user])
        yield "multi-turn", lambda: self.ask(model, turns, system=[{"type": "text", "text": "Be brief."}])
        yield "image", lambda: self.ask(model, [{"role": "user", "content": image}])
        yield "tools", lambda: self.tool_loop(model, user, tools, False)
        yield "tools, stream", lambda: self.tool_loop(model, user, tools, True)

    def tool_loop(self, model, user, tools, stream):
        first = self.ask(model, [user], tools=tools, stream=stream)
        use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "snow"}
        messages = [user, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        assert "get_weather" in str(first)
        return first, self.ask(model, messages, tools=tools, stream=stream)


class Gemini:
    def __init__(self, base):
        self.client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=base))

    def ask(self, model, contents, stream=False, **config):
        models = self.client.models
        ask = models.generate_content_stream if stream else models.generate_content
        return plain(ask(model=model, contents=contents, config=types.GenerateContentConfig(**config)))

    def cases(self, model, query):
        content = lambda role, *parts: types.Content(role=role, parts=list(parts))
        text = lambda text: types.Part(text=text)
        user = content("user", text(query))
        image = types.Part(inline_data=types.Blob(mime_type="image/png", data=PIXEL))
        tools = [types.Tool(function_declarations=[types.FunctionDeclaration(**TOOL, parameters_json_schema=SCHEMA)])]
        yield "plain", lambda: self.ask(model, query)
        yield "stream", lambda: self.ask(model, query, stream=True)
        yield "multi-turn", lambda: self.ask(model, [user, content("model", text("Yes.")), user], system_instruction="Be brief.")
        yield "image", lambda: self.ask(model, [content("user", image, text(query))])
        yield "tools", lambda: self.tool_loop(model, user, tools, False)
        yield "tools, stream", lambda: self.tool_loop(model, user, tools, True)

    def tool_loop(self, model, user, tools, stream):
        first = self.ask(model, [user], stream, tools=tools)
        call = types.Part(function_call=types.FunctionCall(name="get_weather", args={"city": "Oslo"}))
        result = types.Part(function_response=types.FunctionResponse(name="get_weather", response={"sky": "snow"}))
        contents = [user, types.Content(role="model", parts=[call]), types.Content(role="user", parts=[result])]
        assert "get_weather" in str(first)
        return first, self.ask(model, contents, stream, tools=tools)


class Bedrock:
    def __init__(self, base):
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
        self.client = boto3.client("bedrock-runtime", endpoint_url=base, **keys)

    def ask(self, model, messages, **more):
        answer = self.client.converse(modelId=model, messages=messages, **more)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def stream(self, model, messages, **more):
        return list(self.client.converse_stream(modelId=model, messages=messages, **more)["stream"])

    def invoke(self, model, messages, **more):
        """Nova's own shape. The client is told nothing of its body, and sends it as plain bytes."""
        body = json.dumps({"schemaVersion": "messages-v1", "messages": messages, **more})
        answer = self.client.invoke_model(modelId=model, body=body, contentType="application/octet-stream")
        return json.loads(answer["body"].read())

    def cases(self, model, query):
        user = {"role": "user", "content": [{"text": query}]}
        image = {"image": {"format": "png", "source": {"bytes": base64.b64decode(PIXEL)}}}
        turns = [user, {"role": "assistant", "content": [{"text": "Yes."}]}, user]
        yield "plain", lambda: self.ask(model, [user])
        yield "multi-turn", lambda: self.ask(model, turns, system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 100})
        yield "image", lambda: self.ask(model, [{"role": "user", "content": [image, {"text": query}]}])
        yield "stream", lambda: self.stream(model, [user])
        yield "invoke", lambda: self.invoke(model, [user])
        yield "tools", lambda: self.tool_loop(model, user, self.ask)
        yield "tools, stream", lambda: self.tool_loop(model, user, self.stream)
        yield "tools, invoke", lambda: self.tool_loop(model, user, self.invoke)

    def tool_loop(self, model, user, ask):
        tools = {"tools": [{"toolSpec": {**TOOL, "inputSchema": {"json": SCHEMA}}}]}
        first = ask(model, [user], toolConfig=tools)
        call = {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Oslo"}}}
        result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "snow"}]}}
        messages = [user, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        assert "get_weather" in str(first)
        return first, ask(model, messages, toolConfig=tools)


def main():
    differ = 0
    for sdk in (OpenAIChat, OpenAICompletions, OpenAIResponses, Anthropic, Gemini, Bedrock):
        through, direct = sdk(THROUGH), sdk(DIRECT)
        for query, model in ((EASY, SMALL), (HARD, LARGE)):
            # A query of its own for each client, since conversations that begin alike are taken for one.
            name = f"{sdk.__name__}: {query}"
            asked = name_query(query, sdk)
            answers = zip(through.cases("auto", asked), direct.cases(model, asked), direct.cases(LARGE, asked))
            for (case, got), (_, want), (_, by_large) in answers:
                # The router can't see images, and so they go to the large model unless the pair says otherwise.
                got, want = got(), by_large() if case == "image" else want()
                same = got == want
                print("same" if same else "DIFFERENT", name, case, sep="\t", flush=True)
                if not same:
                    print(got, want, sep="\n", flush=True)
                    differ += 1
    sys.exit(1 if differ else 0)


def name_query(query, sdk):
    return f"{query} by {sdk.__name__}"


if __name__ == "__main__":
    main()
