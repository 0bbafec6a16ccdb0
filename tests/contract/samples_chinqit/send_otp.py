import requests
# Send OTP via SMS
sms_response = requests.post(
"https://sms.chinqit.com/otp/send",
headers={
"Content-Type": "application/json",
"X-API-Key": "your-api-key"
},
json={
"phoneNumber": "+1234567890",
"language": "en",
"channel": "sms"
}
)
# Send OTP via WhatsApp
whatsapp_response = requests.post(
"https://sms.chinqit.com/otp/send",
headers={
"Content-Type": "application/json",
"X-API-Key": "your-api-key"
},
json={
"phoneNumber": "+1234567890",
"language": "en",
"channel": "whatsapp"
}
)
data = whatsapp_response.json()
print(f"OTP expires in: {data['expiresIn']} seconds")
