curl -X POST https://sms.chinqit.com/otp/verify \
-H "Content-Type: application/json" \
-H "X-API-Key: your-api-key" \
-d '{
"phoneNumber": "+1234567890",
"otp": "123456",
"channel": "sms"
}'
