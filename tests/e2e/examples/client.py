import asyncio
import websockets
import json
import base64

async def realtime_client():
    uri = "ws://localhost:8001/ws/realtime"
    
    async with websockets.connect(uri) as websocket:
        # Update session
        await websocket.send(json.dumps({
            "event_id": "event_1",
            "type": "session.update",
            "session": {
                "instructions": "You are a helpful assistant.",
                "modalities": ["text", "audio", "image"]
            }
        }))
        
        # Send text message
        await websocket.send(json.dumps({
            "event_id": "event_2",
            "type": "conversation.item.create",
            "item": {
                "id": "msg_1",
                "type": "message",
                "role": "user",
                "content": [{"type": "text", "text": "Hello!"}]
            }
        }))
        
        # Request response
        await websocket.send(json.dumps({
            "event_id": "event_3",
            "type": "response.create"
        }))
        
        # Listen for responses
        async for message in websocket:
            data = json.loads(message)
            print(f"Received: {data['type']}")
            
            if data['type'] == 'response.done':
                response = data['response']
                for item in response['output']:
                    for content in item['content']:
                        if content['type'] == 'text':
                            print(f"Assistant: {content['text']}")

# Run the client
asyncio.run(realtime_client())
