curl -X POST https://sms.chinqit.com/api/v2/bulk/send \
-H "Content-Type: application/json" \
-H "X-API-Key: your_api_key_here" \
-d '{
"recipients": [
{"phone": "+22238089336", "message": "Hello!"},
{"phone": "+22238089337", "message": "Hi there!"}
]
}'
