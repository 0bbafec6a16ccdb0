curl --request POST \
  --url https://api.otpiq.com/api/sms \
  --header 'Authorization: Bearer <token>' \
  --header 'Content-Type: application/json' \
  --data '
{
  "phoneNumber": "<string>",
  "smsType": "<string>",
  "verificationCode": "<string>",
  "senderId": "<string>",
  "whatsappAccountId": "<string>",
  "whatsappPhoneId": "<string>",
  "templateName": "<string>",
  "provider": "auto",
  "deliveryReport": {
    "webhookUrl": "<string>",
    "deliveryReportType": "all",
    "webhookSecret": "<string>"
  }
}
'
