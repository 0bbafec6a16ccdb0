curl -X POST https://sms.chinqit.com/messages/send \
-H "Content-Type: application/json" \
-H "X-API-Key: your-api-key" \
-d '{
"message": "Hello from SMS Gateway!",
"phoneNumber": "+1234567890"
}'
