const ws = new WebSocket('ws://localhost:8001/ws/realtime');

ws.onopen = function(event) {
    console.log('Connected to WebSocket');
    
    // Update session
    ws.send(JSON.stringify({
        event_id: 'event_1',
        type: 'session.update',
        session: {
            instructions: 'You are a helpful assistant.',
            modalities: ['text', 'audio', 'image']
        }
    }));
};

ws.onmessage = function(event) {
    const data = JSON.parse(event.data);
    console.log('Received:', data.type);
    
    if (data.type === 'response.done') {
        const response = data.response;
        response.output.forEach(item => {
            item.content.forEach(content => {
                if (content.type === 'text') {
                    console.log('Assistant:', content.text);
                }
            });
        });
    }
};

// Send text message
function sendText(text) {
    ws.send(JSON.stringify({
        event_id: `event_${Date.now()}`,
        type: 'conversation.item.create',
        item: {
            id: `msg_${Date.now()}`,
            type: 'message',
            role: 'user',
            content: [{ type: 'text', text: text }]
        }
    }));
    
    // Request response
    ws.send(JSON.stringify({
        event_id: `event_${Date.now()}`,
        type: 'response.create'
    }));
}
