curl -X POST https://sms.chinqit.com/otp/send \
-H "Content-Type: application/json" \
-H "X-API-Key: your-api-key" \
-d '{
"phoneNumber": "+1234567890",
"language": "en",
"channel": "whatsapp"
}'
